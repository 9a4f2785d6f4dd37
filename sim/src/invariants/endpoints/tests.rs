use super::super::testing::*;
use super::*;

fn fed(until: u32, answer: &str) -> Result<(), String> {
    let trouble = |host: &str| EndpointTrouble {
        host: host.to_owned(),
        from: SECOND,
        until: SECOND * until,
        harm: Harm::Connections,
    };
    let bounds = Bounds {
        endpoints: Endpoints {
            hosts: [("a".to_owned(), ["a-1".to_owned(), "a-2".to_owned()].into())].into(),
            troubles: vec![
                trouble("a-1"),
                EndpointTrouble {
                    until: SECOND * 100,
                    harm: Harm::Connections,
                    ..trouble("a-2")
                },
            ],
        },
        ..with_settings(|it| it.timeouts.failover = SECOND * 10)
    };
    let facts = [
        published(1, &[("acme", "a")]),
        answered("x", Answer::Ok),
        answered("x", Answer::Ok),
        sent("t", "acme"),
        allowed("id-t", "a", 1),
        traced("t", "id-t"),
        answered("t", Answer::Router(answer.to_owned())),
    ];
    feed(&mut EveryEndpoint::new(&bounds), &facts)
}

#[test]
fn notices_a_refusal_beside_an_endpoint_that_is_well() {
    assert!(fed(2, "cell_unreachable").is_err());
    assert_eq!(fed(2, "cell_reset"), Ok(()));
    // It may have failed for a part of the time.
    assert_eq!(fed(3, "cell_unreachable"), Ok(()));
}

#[test]
fn expects_the_cell_that_the_router_knew() {
    let of_two = |version: u64| {
        let endpoints = Endpoints {
            troubles: vec![EndpointTrouble {
                host: "a-1".to_owned(),
                from: SECOND,
                until: SECOND * 100,
                harm: Harm::Connections,
            }],
            ..one_each()
        };
        let bounds = Bounds {
            endpoints,
            ..with_settings(|it| it.timeouts.failover = SECOND * 10)
        };
        let facts = [
            published(1, &[("acme", "a")]),
            published(2, &[("acme", "b")]),
            sent("t", "acme"),
            allowed("id-t", "a", version),
            traced("t", "id-t"),
            answered("t", Answer::Router("cell_unreachable".to_owned())),
        ];
        feed(&mut EveryEndpoint::new(&bounds), &facts)
    };
    assert_eq!(
        of_two(1),
        Ok(()),
        "a failed, and this router hasn't read version 2"
    );
    assert!(of_two(2).is_err(), "b was well");
}
