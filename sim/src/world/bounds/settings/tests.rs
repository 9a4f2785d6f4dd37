use super::*;

const CHANGES: &str = r#"
[expect]
recovery = "2s"

[[fault]]
at = "5s"
kind = "configure"
target = "router-1"
settings = { upstream = { header_timeout_ms = 2000 }, runtime = { drain_secs = 3 } }

[[fault]]
at = "6s"
for = "4s"
kind = "break_configuration"
target = "router-1"
"#;

fn in_force(faults: &str, at: u64) -> [Duration; 3] {
    let small = include_str!("../../../../examples/small.toml");
    let scenario = Scenario::parse("small.toml", &format!("{small}{faults}"));
    let settings = of(&scenario.unwrap_or_else(|error| panic!("{error}")));
    let at = Duration::from_secs(at);
    let header = |it: &RouterSettings| it.timeouts.header;
    [
        settings.least("router-1", [at; 2], header),
        settings.most("router-1", [at; 2], header),
        settings.at_start("router-1", at, |it| it.drain.deadline),
    ]
}

#[test]
fn a_change_counts_from_its_writing_and_what_was_before_until_it_must_be_read() {
    // Nothing is set at first, so that these are the router's own defaults.
    let [before, _, drain] = in_force(CHANGES, 4);
    let (after, short) = (Duration::from_secs(2), Duration::from_secs(3));
    assert!(before > after && drain > short);
    assert_eq!(in_force(CHANGES, 4), [before, before, drain]);
    assert_eq!(in_force(CHANGES, 5), [after, before, short]);
    // It couldn't read its file until 10 s.
    assert_eq!(in_force(CHANGES, 12), [after, before, short]);
    assert_eq!(in_force(CHANGES, 14), [after, after, short]);
}

const EXPECT: &str = "[expect]\nrecovery = \"2s\"\n";

/// What a scenario with these settings of its routers has in force.
fn with(settings: &str) -> RouterSettings {
    let small = include_str!("../../../../examples/small.toml");
    let scenario = Scenario::parse("small.toml", &format!("{small}{settings}{EXPECT}"));
    let settings = of(&scenario.unwrap_or_else(|error| panic!("{error}")));
    settings.all().next().expect("one router").clone()
}

/// Catches: a bound that is too short for the settings of a scenario.
#[test]
fn what_rests_longer_is_known_later() {
    let secs = |settings| with(settings).health.knows_late.as_secs();
    assert_eq!(secs(""), 40, "the third ejection in a row");
    let open = "[router.upstream.breaker]\nopen_ms = 60000\n";
    assert_eq!(secs(open), 60);
}

/// Catches: places that an adaptive limit may take away.
#[test]
fn only_the_least_of_an_adaptive_limit_is_sure() {
    assert_eq!(with("").limits.places, 1024);
    let adaptive = "[router.upstream.adaptive_limit]\nenabled = true\nrequests_min = 12\n";
    assert_eq!(with(adaptive).limits.places, 12);
}
