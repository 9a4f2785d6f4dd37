//! `[cba]`, and the policies' own settings for it.

use crate::policy::{CbaMode, CbaPolicy, CbaRules, CbaSpec, Mode, PolicySpec, PolicySpecs};

use super::Errors;
use super::issuer::{LEEWAY_SECS_MAX, algorithms};

/// The most bytes of an annotation's name.
const ANNOTATION_LEN_MAX: usize = 256;

pub(super) fn rules(specs: &PolicySpecs, errors: &mut Errors) -> CbaRules {
    let CbaSpec {
        annotation,
        leeway_secs,
        one_use,
        ..
    } = &specs.cba;
    if annotation.is_empty() || annotation.len() > ANNOTATION_LEN_MAX {
        let fix = "write the name of the annotation that holds a cell's JWKS, such as cba-jwks";
        errors.add("cba.annotation", "is empty or too long", fix);
    }
    if *leeway_secs > LEEWAY_SECS_MAX {
        let problem = format!("is over {LEEWAY_SECS_MAX}");
        errors.add("cba.leeway_secs", problem, "synchronize the clocks instead");
    }
    let destination = specs.cba.destination.as_ref();
    let destination = destination.and_then(|text| errors.text("cba.destination", text));
    let looked_at = specs
        .policy
        .iter()
        .any(|p| mode(&specs.cba, p) != CbaMode::Off);
    CbaRules {
        annotation: looked_at.then(|| annotation.as_str().into()),
        algorithms: algorithms(&specs.cba.algorithms, "cba.algorithms", errors),
        leeway_secs: *leeway_secs,
        one_use: *one_use,
        destination,
    }
}

/// How `policy` treats cell-bound authorizations.
pub(super) fn policy(
    cba: &CbaSpec,
    policy: &PolicySpec,
    at: &dyn Fn(&str) -> String,
    errors: &mut Errors,
) -> CbaPolicy {
    let own = policy.cba.as_ref().and_then(|own| own.destination.as_ref());
    let destination = match (own, &cba.destination) {
        (Some(own), _) => errors.text(&at("cba.destination"), own),
        // A mistake in it is reported once, not for each policy.
        (None, Some(shared)) => crate::text::Text::new(shared).ok(),
        (None, None) => None,
    };
    CbaPolicy {
        mode: mode(cba, policy),
        destination,
    }
}

/// If authentication is disabled, no credential is read, including this one.
fn mode(cba: &CbaSpec, policy: &PolicySpec) -> CbaMode {
    match policy.mode {
        Mode::Disabled => CbaMode::Off,
        Mode::Required | Mode::Permissive => {
            let own = policy.cba.as_ref().and_then(|own| own.mode);
            own.unwrap_or(cba.mode)
        }
    }
}
