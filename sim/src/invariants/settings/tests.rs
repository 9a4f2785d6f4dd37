use super::super::testing::SECOND;
use super::*;

fn period(router: &str, [from, until]: [u32; 2], drain: u32) -> Period {
    Period {
        router: Some(router.to_owned()),
        from: SECOND * from,
        until: SECOND * until,
        settings: RouterSettings {
            drain: DrainTimes {
                deadline: SECOND * drain,
                ..DrainTimes::default()
            },
            ..RouterSettings::default()
        },
    }
}

#[test]
fn old_and_new_settings_count_until_a_router_must_have_read_the_new_ones() {
    let settings = SettingsInForce::new(vec![
        period("a", [0, 6], 1),
        period("a", [5, 99], 2),
        period("b", [0, 99], 7),
    ]);
    let in_force = |at: u32| {
        let time = [SECOND * at; 2];
        let [least, most] = [
            settings.least("a", time, |it| it.drain.deadline),
            settings.most("a", time, |it| it.drain.deadline),
        ];
        [least.as_secs(), most.as_secs()]
    };
    assert_eq!([4, 5, 6, 7].map(in_force), [[1, 1], [1, 2], [1, 2], [2, 2]]);
    let start = |at: u32| {
        settings
            .at_start("a", SECOND * at, |it| it.drain.deadline)
            .as_secs()
    };
    assert_eq!([4, 5].map(start), [1, 2]);
    let envoy = settings.most("envoy", [SECOND; 2], |it| it.drain.deadline);
    assert_eq!(envoy, SECOND * 7);
}
