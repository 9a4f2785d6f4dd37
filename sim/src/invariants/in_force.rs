//! The configurations of routers, and the time from which each must be in use.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fact::Fact;

/// A part of a router's configuration file. A change counts once the router has reloaded the file, and
/// at the latest when it must have.
#[derive(Debug)]
pub(super) struct InForce<T> {
    now: T,
    /// The value before, and until when it may still be in force.
    before: Option<(T, Duration)>,
}

impl<T> InForce<T> {
    /// The values that may have been in force at this time since the start.
    pub(super) fn at(&self, at: Duration) -> impl Iterator<Item = &T> {
        let before = self.before.as_ref();
        let before = before.filter(|(_, until)| at <= *until);
        [&self.now]
            .into_iter()
            .chain(before.map(|(before, _)| before))
    }
}

/// The router's file says this now, and the router must have read it at `until`.
pub(super) fn configured<T>(
    routers: &mut BTreeMap<String, InForce<T>>,
    router: &str,
    now: T,
    until: Duration,
) {
    let before = routers.remove(router).map(|known| (known.now, until));
    routers.insert(router.to_owned(), InForce { now, before });
}

/// If a router has just read its file, the value before counts only for earlier decisions.
pub(super) fn reloaded<T>(routers: &mut BTreeMap<String, InForce<T>>, at: Duration, fact: &Fact) {
    let life = match fact {
        Fact::Started(life) => life,
        Fact::Noted(life, note) if note.kind == "reloaded" => life,
        _ => return,
    };
    let known = routers.get_mut(&life.router);
    if let Some((_, until)) = known.and_then(|known| known.before.as_mut()) {
        *until = at.min(*until);
    }
}
