use super::*;

/// When, who, and what.
type Said = (u64, &'static str, &'static str);

/// A herd of five clients, `web-1` to `web-5`, and a client `other`.
fn rendered(lines: &[Said]) -> String {
    let line =
        |(at, host, text): &Said| Line::new(Duration::from_millis(*at), host, (*text).to_owned());
    let lines: Vec<_> = lines.iter().map(line).collect();
    let herd = (1..=5).map(|number| (format!("web-{number}"), ("web".to_owned(), number)));
    render(&lines, &herd.collect())
}

/// All of a herd are answered the same, one every hundred milliseconds from this time on.
fn all(at: u64) -> Vec<Said> {
    let hosts = ["web-3", "web-1", "web-2", "web-5", "web-4"];
    let times = (0..).map(|n| at + n * 100);
    times
        .zip(hosts)
        .map(|(at, host)| (at, host, "is answered ok"))
        .collect()
}

#[test]
fn clients_of_a_herd_that_see_the_same_share_a_line() {
    let lines = [
        all(300),
        vec![
            (800, "other", "is answered ok"),
            (900, "web-2", "is answered overloaded"),
        ],
    ];
    assert_eq!(
        rendered(&lines.concat()),
        "    0.3s  web    5 clients (1 … 5), until 0.7s: is answered ok\n    \
             0.8s  other  is answered ok\n    \
             0.9s  web-2  is answered overloaded\n"
    );
    let at_once = [(10, "web-5", "x"), (20, "web-4", "x"), (30, "web-1", "x")];
    assert_eq!(
        rendered(&at_once),
        "    0.0s  web  3 clients (1, 4, 5): x\n"
    );
}

/// Catches: a client that behaves differently and hides in the line of its herd.
#[test]
fn each_client_that_behaves_differently_changes_the_timeline() {
    let same = rendered(&all(300));
    let changes: [fn(&mut Said); 3] = [
        |line| line.2 = "is answered overloaded",
        |line| line.0 += 900,
        |line| line.0 += 5_000,
    ];
    for which in 0..5 {
        for change in changes {
            let mut lines = all(300);
            change(&mut lines[which]);
            lines.sort();
            assert_ne!(rendered(&lines), same);
        }
        let mut missing = all(300);
        missing.remove(which);
        assert_ne!(rendered(&missing), same);
    }
}

#[test]
fn no_line_is_shared_across_a_fault_or_after_a_while() {
    let fault = vec![(750, "world", "crash router-1")];
    let around = rendered(&[all(300), fault, all(800)].concat());
    assert_eq!(around.lines().count(), 3, "{around}");
    let late = rendered(&[
        (0, "web-1", "x"),
        (1000, "web-2", "x"),
        (1001, "web-3", "x"),
    ]);
    assert_eq!(
        late,
        "    0.0s  web    2 clients (1, 2), until 1.0s: x\n    1.0s  web-3  x\n"
    );
}
