//! Random sequences of outcomes and times, compared with a plain model of one endpoint.

use proptest::prelude::*;

use super::*;

/// One step: some seconds pass, then an endpoint has an outcome.
type Step = (u64, u32, Outcome);

const ENDPOINTS: u16 = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![
        1 => Just(Outcome::Success),
        3 => Just(Outcome::Reset),
        1 => Just(Outcome::ConnectFailed),
        1 => Just(Outcome::TimedOut),
        3 => Just(Outcome::AnswerFailed),
    ];
    let seconds = prop_oneof![6 => Just(0), 3 => 0..12_u64, 1 => 0..200_u64];
    proptest::collection::vec((seconds, 0..u32::from(ENDPOINTS), outcome), 1..120)
}

/// The model: what happened to an endpoint, as a list.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Since its last ejection.
    outcomes: Vec<Outcome>,
    /// The last one while it is ejected.
    tried: Option<Outcome>,
    /// When its ejections began and ended.
    ejections: Vec<(u64, u64)>,
}

impl Told {
    /// How many of the last outcomes are failures of this kind, by reading back.
    fn row(&self, cause: Cause) -> usize {
        let back = self.outcomes.iter().rev();
        let ends = |outcome: &Outcome| match outcome.cause() {
            None => true,
            Some(Cause::Answer) => cause == Cause::Connection,
            Some(Cause::Connection) => false,
        };
        let row = back.take_while(|outcome| !ends(outcome));
        row.filter(|outcome| outcome.cause() == Some(cause)).count()
    }

    fn on_probation(&self, now: u64) -> bool {
        let returned = self.ejections.last().map(|(_, until)| *until);
        let works =
            self.outcomes.contains(&Outcome::Success) || self.tried == Some(Outcome::Success);
        returned.is_some_and(|at| now < at + 10) && !works
    }

    fn is_ejected(&self, now: u64) -> bool {
        self.ejections.last().is_some_and(|(_, until)| now < *until)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Catches: an ejection without enough failures of one kind or after a success of which nobody hears
    /// again, one that doesn't come, one that is too long or too short, more than half of a cell ejected,
    /// and a return that is late.
    #[test]
    fn ejections_follow_the_model(steps in steps()) {
        let registry = registry(1, ENDPOINTS, None);
        let mut control = control(&registry);
        let mut told = vec![Told::default(); usize::from(ENDPOINTS)];
        let mut now = 0;
        for (seconds, endpoint, outcome) in steps {
            now += seconds;
            while let Some((due, _)) = control.poll_timeout().filter(|(due, _)| *due <= at(now).mono) {
                control.handle_timeout(Now { mono: due, ..at(now) });
            }
            let ejected = told.iter().filter(|it| it.is_ejected(now)).count();
            let it = &mut told[endpoint as usize];
            let was_ejected = it.is_ejected(now);
            while control.poll_output().is_some() {}
            control.handle_outcome(at(now), EndpointId(endpoint), outcome);
            match was_ejected {
                true => it.tried = Some(outcome),
                false => it.outcomes.push(outcome),
            }
            let due = outcome.cause().is_some_and(|cause| it.row(cause) >= 3 || it.on_probation(now));
            let expected = due && !was_ejected && ejected < 2;
            let notice = control.poll_output();
            prop_assert_eq!(notice.is_some(), expected, "{:?} at {}", it, now);
            if let Some(HealthAction::Notice(HealthNotice::Ejected { duration, .. })) = notice {
                let duration = duration.as_secs();
                let last = it.ejections.last().map(|(from, until)| (until - from, now - until));
                if let Some((last, healthy)) = last && healthy < last {
                    let longer = (last * 2).min(25);
                    prop_assert_eq!(duration, longer, "it rests longer than before");
                }
                prop_assert!([10, 20, 25].contains(&duration));
                it.ejections.push((now, now + duration));
                it.outcomes.clear();
                it.tried = None;
            }
            let ejected: Vec<u32> = (0..u32::from(ENDPOINTS))
                .filter(|id| told[*id as usize].is_ejected(now))
                .collect();
            prop_assert_eq!(rests(&control), ejected);
        }
    }
}
