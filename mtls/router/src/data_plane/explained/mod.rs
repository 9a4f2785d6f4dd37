//! The explanation of a request's decision, for an operator who asks for it.
//!
//! An operator sends a token with the request. The request is decided and served like any other: the
//! only difference is that the one call of [`decide`](cellway_core::decide()) gets a recorder. Its
//! steps go into the answer.

use std::fmt::Write;
use std::sync::OnceLock;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use cellway_core::{Decision, Recorder, Step, Steps};
use http::HeaderValue;

/// The most bytes of the header with an explanation. Many clients take no more than 8 KiB for a
/// whole header.
const FIELD_BYTES_MAX: usize = 4096;
/// The most characters of a step's detail in the header.
const DETAIL_CHARS_MAX: usize = 200;
/// What is left for the last item of a header that was cut.
const CUT_BYTES: usize = 24;

/// The explanation of one request. It needs no memory unless somebody asks for it.
#[derive(Debug, Default)]
pub(crate) struct Explained(OnceLock<Box<Asked>>);

#[derive(Debug)]
struct Asked {
    /// Whether steps may name the subject.
    subjects: bool,
    steps: OnceLock<Steps>,
}

impl Explained {
    /// Explains the request from now on. `subjects` says whether steps may name its subject.
    pub(crate) fn begin(&self, subjects: bool) {
        let steps = OnceLock::new();
        let _ = self.0.set(Box::new(Asked { subjects, steps }));
    }

    /// A recorder for the decision, if the request is explained.
    pub(crate) fn recorder(&self) -> Option<Steps> {
        self.0.get().map(|_| Steps::default())
    }

    /// Takes the steps of the final decision.
    pub(crate) fn decided(&self, mut steps: Steps, decision: &Decision) {
        let Some(asked) = self.0.get() else {
            return;
        };
        let hidden = |step: &&mut Step| !asked.subjects && step.names_subject();
        for step in steps.0.iter_mut().filter(hidden) {
            "accepted".clone_into(&mut step.detail);
        }
        let reason = decision.reason();
        match decision {
            Decision::Allow(allow) => {
                steps.pass("decision", || format!("{reason}, cell {}", allow.cell.id));
            }
            Decision::Deny(_) => steps.fail("decision", || reason.to_string()),
        }
        let _ = asked.steps.set(steps);
    }

    /// The steps, if the request was explained and decided.
    pub(crate) fn steps(&self) -> Option<&Steps> {
        self.0.get()?.steps.get()
    }

    /// The steps as a header's value.
    pub(crate) fn field(&self) -> Option<HeaderValue> {
        let steps = self.steps()?;
        HeaderValue::try_from(field(&steps.0, FIELD_BYTES_MAX)).ok()
    }
}

/// Whether this is one of the tokens. The time that this takes says nothing about them: digests are
/// compared, and always all of them.
pub(crate) fn is_known(tokens: &[[u8; 32]], token: &[u8]) -> bool {
    let shown = digest(&SHA256, token);
    let same = |known: &[u8; 32]| verify_slices_are_equal(known, shown.as_ref()).is_ok();
    tokens.iter().map(same).fold(false, |any, same| any | same)
}

/// The steps as a list of structured fields (RFC 9651, section 3.1): an item for each check, such as
/// `token.issuer;passed;detail="main"`. If they are too long, the last item says how many are left
/// out: `cut;steps=3`.
fn field(steps: &[Step], bytes_max: usize) -> String {
    let mut field = String::new();
    for (at, step) in steps.iter().enumerate() {
        let passed = if step.passed { "" } else { "=?0" };
        let item = format!(
            "{};passed{passed};detail={}",
            step.check,
            quoted(&step.detail)
        );
        let comma = if at == 0 { "" } else { ", " };
        if field.len() + comma.len() + item.len() + CUT_BYTES > bytes_max {
            let _ = write!(field, "{comma}cut;steps={}", steps.len() - at);
            break;
        }
        field.push_str(comma);
        field.push_str(&item);
    }
    field
}

/// A string of a structured field (RFC 9651, section 3.3.3). It has printable ASCII only, so other
/// characters become `?`.
fn quoted(detail: &str) -> String {
    let mut quoted = String::from("\"");
    for (at, c) in detail.chars().enumerate() {
        if at == DETAIL_CHARS_MAX {
            quoted.push_str("...");
            break;
        }
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
