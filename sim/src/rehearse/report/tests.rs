use std::collections::BTreeMap;

use super::super::decisions::{Change, Kind};
use super::super::settings::{Instead, NotSimulated};
use super::super::traffic::{Broken, Lost, Traffic};
use super::*;

/// A report with something of everything.
fn report() -> Report {
    let change = |kind, before: &str, after: &str| Change {
        of: Some(0),
        class: "premium at gold".to_owned(),
        tenants: 412,
        example: "acme".to_owned(),
        callers: vec!["token of main".to_owned(), "certificate a|b".to_owned()],
        requests: vec!["GET /orders/x".to_owned()],
        all_callers: false,
        all_requests: false,
        kind,
        before: before.to_owned(),
        after: after.to_owned(),
    };
    let lost = |with_faults, counts| Lost {
        class: "premium at gold".to_owned(),
        tenants: 412,
        requests: 12,
        without_change: 1,
        of: 600,
        answers: BTreeMap::from([
            ("circuit_open".to_owned(), 2),
            ("cell_reset".to_owned(), 10),
        ]),
        with_faults,
        counts,
    };
    Report {
        from: "old".to_owned(),
        to: "new".to_owned(),
        notes: vec![
            Note {
                refused: true,
                text: "running routers refuse it <now>".to_owned(),
            },
            Note {
                refused: false,
                text: "revocations: 1 added".to_owned(),
            },
        ],
        blast: Blast {
            tenants: 412,
            tenants_of: 50_000,
            classes: 1,
            classes_of: 4,
            cells: vec!["gold".to_owned()],
            cells_of: 3,
        },
        decisions: Decisions {
            compared: 40,
            changes: vec![
                change(Kind::Moved, "allow gold", "allow silver"),
                change(Kind::Refused, "allow gold", "deny 403 tenant_suspended"),
            ],
            refused_otherwise: 3,
            undecided_tenants: 7,
            undecided_requests: 2,
        },
        traffic: vec![Traffic {
            listener: "public".to_owned(),
            runs: 4,
            runs_with_faults: 1,
            requests: 900,
            lost: vec![lost(false, true), lost(true, false)],
            broken: vec![Broken {
                invariant: "recovery".to_owned(),
                runs: 2,
                story: "FAILED it & that\n  replay: cellway-sim run x.toml --seed 1".to_owned(),
                with_faults: true,
                without_change: false,
            }],
            remarks: vec!["16 of 40 classes have traffic".to_owned()],
        }],
        not_simulated: vec![NotSimulated {
            instead: Instead::Decisions,
            why: "no simulated client is a browser".to_owned(),
            settings: vec!["policy[0].cors.origins".to_owned()],
        }],
    }
}

#[test]
fn text() {
    insta::assert_snapshot!(report().text(&[Kind::Moved]));
}

#[test]
fn json() {
    insta::assert_snapshot!(report().json(&[Kind::Moved]));
}

#[test]
fn junit() {
    insta::assert_snapshot!(report().junit(&[Kind::Moved]));
}

#[test]
fn markdown() {
    insta::assert_snapshot!(report().markdown(&[Kind::Moved]));
}

/// Each kind of finding fails a rehearsal by itself.
#[test]
fn verdicts() {
    let good = Report {
        notes: Vec::new(),
        traffic: Vec::new(),
        decisions: Decisions {
            changes: Vec::new(),
            ..report().decisions
        },
        ..report()
    };
    let verdict = |report: &Report| (report.passed(&[]), report.verdict(&[]));
    assert_eq!(verdict(&good), (true, "PASSED".to_owned()));
    let refused = Report {
        notes: report().notes,
        ..good.clone()
    };
    assert!(!verdict(&refused).0);
    let traffic = |change: fn(&mut Traffic)| {
        let mut traffic = report().traffic;
        traffic.iter_mut().for_each(change);
        let report = Report {
            traffic,
            ..good.clone()
        };
        verdict(&report)
    };
    let lost = traffic(|it| it.broken.clear());
    assert_eq!(lost, (false, "FAILED: 12 requests are lost".to_owned()));
    let broken = traffic(|it| it.lost.clear());
    assert_eq!(broken, (false, "FAILED: invariants are broken".to_owned()));
    // It is no fault of the change.
    let known = traffic(|it| {
        it.lost.retain(|lost| !lost.counts);
        it.broken
            .iter_mut()
            .for_each(|broken| broken.without_change = true);
    });
    assert_eq!(known, (true, "PASSED".to_owned()));
}
