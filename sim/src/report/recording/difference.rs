//! The first difference between two runs.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "only some steps place a request"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Recording;
use crate::record::{Change, Happened, Request, seconds};

/// The first thing that went otherwise in another run.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Difference {
    /// When it happened in the first run, since the start.
    pub at: Duration,
    /// The request that went otherwise, by its tag, which is the same in both runs. `None`: a host changed
    /// otherwise.
    pub tag: Option<String>,
    /// What happened in the first run, in words.
    pub here: String,
    /// What happened in the second run.
    pub there: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, here, there) = (seconds(self.at), &self.here, &self.there);
        match &self.tag {
            Some(tag) => write!(f, "{tag} at {at}: {here}; in the second run: {there}"),
            None => write!(f, "at {at}: {here}; in the second run: {there}"),
        }
    }
}

impl Recording {
    /// The first request that was decided, placed or answered otherwise in the other run, or the first
    /// change of a host, whichever came first in this run. Times alone are no difference: another seed has
    /// others everywhere.
    pub fn difference(&self, other: &Self) -> Option<Difference> {
        let both = [self.request(other), self.change(other)];
        both.into_iter().flatten().min_by_key(|found| found.at)
    }

    /// The tags of the requests that went otherwise in the other run.
    pub(crate) fn different(&self, other: &Self) -> Vec<String> {
        self.pairs(other).map(|(one, _)| one.tag.clone()).collect()
    }

    /// The requests that went otherwise, from both runs. What one of them had no time to answer is none.
    fn pairs<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a Request, &'a Request)> {
        let theirs = other.requests.iter().map(|it| (it.tag.as_str(), it));
        let theirs: BTreeMap<_, _> = theirs.collect();
        let same = self.requests.iter();
        let same = same.filter_map(move |one| Some((one, *theirs.get(one.tag.as_str())?)));
        same.filter(|(one, two)| {
            one.answer.is_some() && two.answer.is_some() && way(one) != way(two)
        })
    }

    fn request(&self, other: &Self) -> Option<Difference> {
        let (one, two) = self.pairs(other).next()?;
        Some(Difference {
            at: one.sent,
            tag: Some(one.tag.clone()),
            here: way(one),
            there: way(two),
        })
    }

    fn change(&self, other: &Self) -> Option<Difference> {
        let (ours, theirs) = (by_host(self), by_host(other));
        let hosts = ours.iter().filter_map(|(host, ours)| {
            let none = Vec::new();
            let theirs = theirs.get(host).unwrap_or(&none);
            let differs = |n: &usize| {
                let sentence = |changes: &[&Change]| changes.get(*n).map(|it| it.sentence());
                sentence(ours) != sentence(theirs)
            };
            let n = (0..ours.len()).find(differs)?;
            let (one, two) = (ours.get(n)?, theirs.get(n));
            // The other run may just have ended before.
            if two.is_none() && one.at >= other.simulated {
                return None;
            }
            Some(Difference {
                at: one.at,
                tag: None,
                here: one.sentence(),
                there: match two {
                    Some(two) => format!("{} at {}", two.sentence(), seconds(two.at)),
                    None => format!("nothing more at {host}"),
                },
            })
        });
        hosts.min_by_key(|found| found.at)
    }
}

fn by_host(run: &Recording) -> BTreeMap<&str, Vec<&Change>> {
    let mut hosts: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in &run.changes {
        hosts.entry(&change.host).or_default().push(change);
    }
    hosts
}

/// What became of a request, in words without times.
fn way(request: &Request) -> String {
    let decided = request.decision().map(|(step, _)| match &step.what {
        Happened::Decided {
            cell: Some(cell),
            reason,
            ..
        } => format!("allowed to {cell} ({reason})"),
        Happened::Decided { reason, .. } => format!("denied ({reason})"),
        _ => String::new(),
    });
    let decided = decided.unwrap_or_else(|| "not decided".to_owned());
    let cell = request.cell.as_deref();
    let reached = cell.map_or(String::new(), |cell| format!(", reached {cell}"));
    let answer = request.answer.as_ref();
    let answer = answer.map_or("not answered".to_owned(), |it| format!("answered {it}"));
    format!("{decided}{reached}, {answer}")
}
