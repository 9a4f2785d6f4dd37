//! Figures of this process from `/proc` (proc(5)).

use std::fs;

use cellway_router::metrics::Process;
use rustix::process::{Resource, getrlimit};

/// The unit of times in `/proc` (`USER_HZ`): hundredths of a second for every program, independent
/// of the kernel's own clock. Prometheus' libraries rely on it too.
const TICKS_PER_SECOND: u64 = 100;

/// The process's figures. `None` if there is no `/proc`, or if it has another format.
pub(crate) fn read() -> Option<Process> {
    let file = |path: &str| fs::read_to_string(path).ok();
    let stat = Stat::parse(&file("/proc/self/stat")?)?;
    let status = file("/proc/self/status")?;
    let boot_secs = line(&file("/proc/stat")?, "btime ")?;
    // One of them is the open folder itself.
    let open_fds = fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)?;
    Some(Process {
        cpu_centis: stat.cpu_ticks,
        resident_bytes: line(&status, "VmRSS:")?.checked_mul(1024)?,
        virtual_bytes: stat.virtual_bytes,
        open_fds: u64::try_from(open_fds).ok()?,
        max_fds: getrlimit(Resource::Nofile).current,
        started_centis: boot_secs.checked_mul(TICKS_PER_SECOND)? + stat.start_ticks,
        threads: stat.threads,
    })
}

/// Some fields of `/proc/self/stat`.
#[derive(PartialEq, Eq, Debug)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// Since the system started.
    start_ticks: u64,
    virtual_bytes: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may have any characters.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        // The manual numbers the fields from 1, and this is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
        })
    }
}

/// The number on the line that starts with `begin`.
fn line(text: &str, begin: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(begin))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_by_their_place_whatever_the_program_is_called() {
        let fields: Vec<_> = (4..=52).map(|n| (n * 10).to_string()).collect();
        let stat = format!("1 (a) R 1 b) S {}", fields.join(" "));
        let parsed = Stat::parse(&stat).unwrap();
        let expected = Stat {
            cpu_ticks: 140 + 150,
            threads: 200,
            start_ticks: 220,
            virtual_bytes: 230,
        };
        assert_eq!(parsed, expected);
        for bad in ["", "1 (a", "1 (a) S 1 2 3", "1 (a) S x x x"] {
            assert_eq!(Stat::parse(bad), None, "{bad:?}");
        }
        assert_eq!(line("a 1\nVmRSS:\t   12 kB\n", "VmRSS:"), Some(12));
        assert_eq!(line("btime x", "btime "), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_figures_that_can_be() {
        let process = read().unwrap();
        assert!(process.threads >= 1 && process.open_fds >= 3, "{process:?}");
        assert!(process.resident_bytes > 1 << 20, "{process:?}");
        assert!(process.virtual_bytes >= process.resident_bytes);
        assert!(process.max_fds.is_none_or(|max| max >= process.open_fds));
        // Later than 2020, so that the two clocks are added up.
        assert!(process.started_centis > 1_577_836_800 * 100, "{process:?}");
    }
}
