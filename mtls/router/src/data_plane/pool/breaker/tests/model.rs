//! Random sequences, compared with a simple model of a breaker.

use proptest::prelude::*;

use super::*;

/// What a random sequence does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(HolderTag),
    Fail(Failed),
    AnswerFails(HolderTag),
    Succeed(HolderTag),
    ProbeAnswers,
    ProbeFails(bool),
    ProbeGoes,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let holder = || prop_oneof![3 => Just(A), 2 => Just(B), 1 => Just(C)];
    let step = prop_oneof![
        6 => holder().prop_map(Step::Pass),
        6 => holder().prop_map(|it| Step::Fail(Failed::Exchange(it))),
        1 => Just(Step::Fail(Failed::Connection)),
        1 => holder().prop_map(Step::AnswerFails),
        2 => holder().prop_map(Step::Succeed),
        1 => Just(Step::ProbeAnswers),
        3 => any::<bool>().prop_map(Step::ProbeFails),
        2 => Just(Step::ProbeGoes),
        3 => (0..7_u64).prop_map(Step::Wait),
        1 => (20..40_u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..120)
}

/// What a breaker should do. Times are in seconds.
#[derive(Default)]
struct Model {
    now: u64,
    /// Failures in a row, and whose these are.
    row: u32,
    by: HolderTag,
    /// When each holder was answered last.
    heard: Vec<(HolderTag, u64)>,
    /// Until when it is open, if it is.
    open: Option<u64>,
    probes: bool,
    /// Who lets others go first, whether there are others, and until when.
    last: HolderTag,
    others: bool,
    turn: u64,
}

impl Model {
    fn pass(&mut self, holder: HolderTag) -> &'static str {
        let Some(until) = self.open else {
            return "passes";
        };
        if self.probes || self.now < until {
            self.others |= self.last != HolderTag::NOBODY && self.last != holder;
            return "refused";
        }
        if self.others && self.last == holder && self.now < self.turn {
            return "refused";
        }
        self.probes = true;
        (self.last, self.others) = (holder, false);
        "probe"
    }

    fn fail(&mut self, by: HolderTag) {
        if self.open.is_some() {
            return;
        }
        let same = self.row == 0 || self.by == by;
        self.by = if same { by } else { HolderTag::NOBODY };
        self.row += 1;
        let answers_others =
            (self.heard.iter()).any(|(it, at)| *it != self.by && at + 30 >= self.now);
        if self.row >= 3 && !(self.by != HolderTag::NOBODY && answers_others) {
            self.opens(self.by, false);
        }
    }

    fn opens(&mut self, by: HolderTag, others: bool) {
        (self.open, self.row, self.probes) = (Some(self.now + 5), 0, false);
        (self.last, self.others, self.turn) = (by, others, self.now + 10);
    }

    fn answered(&mut self, holder: HolderTag) {
        self.heard.retain(|(it, _)| *it != holder);
        self.heard.push((holder, self.now));
        self.row = 0;
    }
}

/// Does this, and checks that the breaker does what the model says.
fn does(breaker: &Arc<Breaker>, model: &mut Model, probe: &mut Option<ProbeSlot>, step: Step) {
    match step {
        Step::Pass(holder) => {
            let passage = breaker.pass(of(holder));
            let got = match word(&passage) {
                "free" | "suspect" => "passes",
                other => other,
            };
            assert_eq!(got, model.pass(holder), "{holder:?} at {}", model.now);
            if let Passage::Probe(slot) = passage {
                *probe = Some(slot);
            }
        }
        Step::Fail(what) => {
            breaker.connection_failed(SETTINGS, what);
            model.fail(what.holder());
        }
        Step::AnswerFails(holder) => {
            breaker.heard(holder, Instant::now());
            breaker.answer_failed();
            model.answered(holder);
        }
        Step::Succeed(holder) => {
            answers(breaker, holder);
            model.answered(holder);
        }
        Step::ProbeAnswers => {
            if let Some(slot) = probe.take() {
                slot.answered();
                (model.open, model.probes) = (None, false);
            }
        }
        Step::ProbeFails(connection) => {
            if let Some(slot) = probe.take() {
                let what = match connection {
                    true => Failed::Connection,
                    false => Failed::Exchange(model.last),
                };
                slot.failed(SETTINGS, what);
                let others = model.others && model.last == what.holder();
                model.opens(what.holder(), others);
            }
        }
        Step::ProbeGoes => {
            if probe.take().is_some() {
                (model.open, model.probes) = (Some(model.now), false);
                model.turn = model.now + 5;
            }
        }
        Step::Wait(_) => {}
    }
}

proptest! {
    /// Catches: a passage through an open breaker, an early or a second probe, and one that is missing. The
    /// same for each rule about who answers for a failure, and who goes first.
    #[test]
    fn passages_follow_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (breaker, mut model, mut probe) = (Arc::default(), Model::default(), None);
            for step in steps {
                does(&breaker, &mut model, &mut probe, step);
                if let Step::Wait(secs) = step {
                    tokio::time::advance(Duration::from_secs(secs)).await;
                    model.now += secs;
                }
            }
        });
    }
}
