//! Durations that were written with a unit, such as `"3s"`.
//!
//! Settings for times are numbers, and the end of their name is their unit. Other programs write
//! `3s`, so this is a common mistake.

/// What to write for a setting whose name ends in a unit, instead of `text`. `None` if it has none.
pub(super) fn advice(setting: &str, text: Option<&str>) -> Option<String> {
    let unit = Unit::of(setting)?;
    let meant = text.and_then(|text| unit.count(text));
    let example = meant.unwrap_or(unit.example());
    Some(format!("a number of {}, as {example}", unit.plural()))
}

/// The unit of a setting.
#[derive(Clone, Copy)]
enum Unit {
    Millis,
    Secs,
}

impl Unit {
    fn of(setting: &str) -> Option<Self> {
        if setting.ends_with("_ms") {
            Some(Self::Millis)
        } else if setting.ends_with("_secs") {
            Some(Self::Secs)
        } else {
            None
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Millis => "milliseconds",
            Self::Secs => "seconds",
        }
    }

    /// A usual value.
    const fn example(self) -> u64 {
        match self {
            Self::Millis => 3000,
            Self::Secs => 30,
        }
    }

    /// Reads `3s`, `1.5s` or `3` as this many of the unit. `None` if it isn't a time, or no whole
    /// number of them.
    fn count(self, text: &str) -> Option<u64> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
        let (own, millis) = match self {
            Self::Millis => ("ms", 1),
            Self::Secs => ("s", 1000),
        };
        let suffix = match suffix.trim() {
            "" => own,
            suffix => suffix,
        };
        let in_millis = match suffix {
            "ms" => 1,
            "s" | "sec" | "secs" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let total = thousandths(number)?.checked_mul(in_millis)? / 1000;
        (total > 0 && total.is_multiple_of(millis)).then_some(total / millis)
    }
}

/// A decimal number in thousandths: 1500 for `1.5`.
fn thousandths(number: &str) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 3 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = format!("{part:0<3}").parse().ok()?;
    whole.checked_mul(1000)?.checked_add(part)
}
