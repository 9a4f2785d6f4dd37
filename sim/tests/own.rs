//! The user's own services, clients and invariants run in the simulated world.

use std::time::Duration;

use bytes::Bytes;
use cellway_sim::fact::{Answer, Fact};
use cellway_sim::invariants::Invariant;
use cellway_sim::own::{Client, Host, OwnService};
use cellway_sim::{Report, Scenario};
use http::{Request, Response, StatusCode};
use serde_json::json;

fn scenario(more: &str) -> Scenario {
    let text = format!(
        "{}{more}\n[expect]\nrecovery = \"4s\"\n",
        include_str!("../examples/small.toml")
    );
    Scenario::parse("own.toml", &text).unwrap_or_else(|error| panic!("{error}"))
}

/// Says what it got, and how often its host has started.
fn service(host: Host) -> OwnService {
    OwnService::from_fn(move |request: Request<Bytes>| {
        let host = host.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            host.tell("served", json!({ "start": host.incarnation() }));
            let (head, body) = request.into_parts();
            let path = head.uri.path_and_query().map_or("", |it| it.as_str());
            let said = format!("{} {path} {}", head.method, body.len());
            Response::new(Bytes::from(said))
        }
    })
}

async fn program(client: Client) {
    loop {
        let request = Request::put("/things/7?deep=1").header("x-own", "yes");
        let request = request.body(Bytes::from_static(b"12345"));
        let reply = client.send(request.expect("it is well-formed")).await;
        if let Some(answer) = reply.response.filter(|_| reply.answer == Answer::Ok) {
            let said = String::from_utf8_lossy(answer.body()).into_owned();
            client.host().tell("answered", said);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Fails at the first fact of this name and value.
struct Never(&'static str, serde_json::Value);

impl Invariant for Never {
    fn name(&self) -> &'static str {
        "never"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        if let Fact::Own { name, value } = fact
            && name == self.0
            && *value == self.1
        {
            return Err(format!("{name} {value}"));
        }
        Ok(())
    }
}

fn count(report: &Report, answer: &str) -> u64 {
    let answers = report.answers();
    let of = |((_, got), count): (&(String, String), &u64)| (got == answer).then_some(*count);
    answers.iter().filter_map(of).sum()
}

#[test]
fn a_service_and_a_client_meet_through_the_router() {
    let crash = "[[fault]]\nat = \"5s\"\nfor = \"2s\"\nkind = \"crash\"\ntarget = \"blue\"\n";
    let simulation = scenario(crash).simulation();
    let simulation = simulation.cell("blue", service).client("web", program);
    let report = simulation.run(1);
    assert!(report.passed(), "{}", report.summary());
    assert!(report.events["answered"] > 10, "{:?}", report.events);

    // The cell gets the client's request, and the client the cell's answer.
    let said = json!("PUT /things/7?deep=1 5");
    let report = simulation
        .clone()
        .invariant(move || Never("answered", said.clone()))
        .run(1);
    let failed: Vec<_> = report
        .violations
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert_eq!(failed, ["never"], "{}", report.summary());

    // A crash ends the service, and a new one is made.
    let again = || Never("served", json!({ "start": 1 }));
    let report = simulation.invariant(again).run(1);
    assert!(!report.passed());
    assert!(
        report.simulated > Duration::from_secs(7),
        "{:?}",
        report.simulated
    );
}

#[test]
fn a_cell_keeps_its_faults() {
    let refuses = "[[fault]]\nat = \"5s\"\nfor = \"2s\"\nkind = \"status\"\ntarget = \"blue\"\nstatus = 500\n";
    let report = scenario(refuses).simulation().cell("blue", service).run(1);
    assert!(report.passed(), "{}", report.summary());
    let (refused, served) = (count(&report, "cell_status_500"), count(&report, "ok"));
    assert!(refused > 0 && served > 0, "{:?}", report.answers());
    // The last one may be on its way to the client at the end.
    let worked = report.events["served"];
    assert!(
        worked - served <= 1,
        "a cell that refuses doesn't work: {worked}, {served}"
    );
}

#[test]
fn a_cell_that_cuts_answers_has_done_the_work() {
    let cuts = "[[fault]]\nat = \"5s\"\nfor = \"2s\"\nkind = \"reset\"\ntarget = \"blue\"\n";
    let report = scenario(cuts).simulation().cell("blue", service).run(1);
    assert!(report.passed(), "{}", report.summary());
    let (worked, served) = (report.events["served"], count(&report, "ok"));
    assert!(
        worked > served + 1,
        "{worked} were done, {served} answered well"
    );
}

#[test]
fn clients_see_the_status_of_a_service() {
    let report = scenario("")
        .simulation()
        .cell("blue", |_| {
            OwnService::from_fn(|_| async {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = StatusCode::IM_A_TEAPOT;
                response
            })
        })
        .run(1);
    assert_eq!(count(&report, "ok"), 0, "{:?}", report.answers());
    assert!(
        count(&report, "cell_status_418") > 0,
        "{:?}",
        report.answers()
    );
}

#[test]
fn an_identity_provider_serves_its_own_keys() {
    let serving = |keys: fn(&str) -> String| {
        let simulation = scenario("").simulation();
        simulation.identity_provider("main", move |_, provider| {
            OwnService::from_fn(move |request: Request<Bytes>| {
                let provider = provider.clone();
                async move {
                    let body = match request.uri().path().ends_with("openid-configuration") {
                        true => json!({
                            "issuer": provider.issuer(),
                            "jwks_uri": provider.jwks_uri(),
                        })
                        .to_string(),
                        false => keys(&provider.jwks()),
                    };
                    Response::new(body.into())
                }
            })
        })
    };
    let report = serving(str::to_owned).run(1);
    assert!(count(&report, "ok") > 0, "{:?}", report.answers());
    let report = serving(|_| r#"{"keys":[]}"#.to_owned()).run(1);
    assert_eq!(count(&report, "ok"), 0, "{:?}", report.answers());
}

#[test]
fn a_search_ends_at_the_first_seed_that_fails() {
    let simulation = scenario("").simulation().cell("blue", service);
    let passing = simulation.clone().search(1..=3);
    assert!(passing.is_none());
    let served = || Never("served", json!({ "start": 0 }));
    let failing = simulation.invariant(served).search(4..=9);
    assert_eq!(failing.map(|report| report.seed), Some(4));
}

#[test]
#[should_panic(expected = "the scenario has no cell \"red\"; it has blue")]
fn names_must_exist() {
    let _ = scenario("").simulation().cell("red", service);
}
