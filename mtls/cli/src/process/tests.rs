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
