//! Runs a scenario from your own test: a world as text, a seed, and a report to check.
//!
//! `cargo run -p cellway-sim --example own_scenario`

use cellway_sim::Scenario;
use cellway_sim::fact::Answer;

/// The faults in the small world, and what must hold.
const SUSPENSION: &str = r#"
[[fault]]
at = "5s"
kind = "publish"
document = "suspend"
tenant = "acme"

[expect]
recovery = "5s"

[[expect.answers]]
clients = ["web"]
from = "8s"
only = ["tenant_suspended"]
"#;

fn main() {
    let text = [include_str!("small.toml"), SUSPENSION].concat();
    let scenario = Scenario::parse("own_scenario.toml", &text).expect("the scenario is valid");
    let report = scenario.run(7);
    print!("{}", report.summary());
    assert!(report.passed());

    // The report has every request, for checks that `expect` can't express.
    let last_served = report
        .requests
        .iter()
        .rfind(|request| request.answer == Some(Answer::Ok));
    let last_served = last_served.expect("it was served at first").sent;
    println!("the last request that was served left at {last_served:?}");
    assert!(last_served.as_secs() < 8);
}
