//! Decides every caller's requests under both configurations, and finds what differs.

use std::collections::{BTreeMap, BTreeSet};

use cellway_decide::{Decide, Row};
use serde::Serialize;
use toml::{Table, Value};

use super::cases::{Asked, Caller, callers, issuers, requests};
use super::classes::Class;
use super::error::RehearseError;
use super::folder::Side;

/// The most classes that are decided. The tenants of smaller ones are only counted.
pub(super) const CLASSES_MAX: usize = 1_000;

/// What the change does to decisions.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Decisions {
    /// How many decisions were compared.
    pub compared: usize,
    /// Those that differ: the largest classes first.
    pub changes: Vec<Change>,
    /// Decisions about callers that are refused on both sides whatever they ask, now for another reason.
    pub refused_otherwise: usize,
    /// Tenants of classes that were not decided, because there are too many classes.
    pub undecided_tenants: usize,
    /// Requests of rules that were left out, because there are too many rules.
    pub undecided_requests: usize,
}

/// Decisions that differ in the same way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// The position of the class. `None`: callers of no listed tenant.
    #[serde(skip)]
    pub of: Option<usize>,
    /// The class of tenants.
    pub class: String,
    /// How many tenants it has.
    pub tenants: usize,
    /// The first of them.
    pub example: String,
    /// The callers, by their credentials.
    pub callers: Vec<String>,
    /// Their requests.
    pub requests: Vec<String>,
    /// Whether these are all callers of the class.
    pub all_callers: bool,
    /// Whether these are all requests.
    pub all_requests: bool,
    /// In which way.
    pub kind: Kind,
    /// The decision before.
    pub before: String,
    /// The decision after.
    pub after: String,
}

/// How a decision differs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It was allowed, and is refused.
    Refused,
    /// It was refused, and is allowed.
    Allowed,
    /// It goes to another cell.
    Moved,
    /// It is refused for another reason, or its caller has other roles.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Refused, Self::Allowed, Self::Moved, Self::Other];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Allowed => "allowed",
            Self::Moved => "moved",
            Self::Other => "other",
        }
    }
}

/// The decision about one request.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Outcome {
    pub(super) allowed: bool,
    pub(super) reason: String,
    pub(super) cell: Option<String>,
    pub(super) text: String,
    roles: Vec<String>,
}

impl Outcome {
    fn of(row: &Row) -> Self {
        let allowed = row.decision == "allow";
        let cell = row.cell.as_deref().unwrap_or("-");
        let text = match (allowed, row.status, &row.failed_over_from) {
            (true, _, None) => format!("allow {cell}"),
            (true, _, Some(of)) => format!("allow {cell} for {of}"),
            (false, Some(status), _) => format!("{} {status} {}", row.decision, row.reason),
            (false, None, _) => format!("{} {}", row.decision, row.reason),
        };
        let text = match &row.monitored {
            Some(monitored) => format!("{text} (monitored: {monitored})"),
            None => text,
        };
        Self {
            allowed,
            reason: row.reason.clone(),
            cell: row.cell.clone(),
            text,
            roles: row.roles.clone(),
        }
    }

    /// A request to a listener that isn't there.
    fn nowhere() -> Self {
        Self {
            allowed: false,
            reason: "no_listener".to_owned(),
            cell: None,
            text: "no listener".to_owned(),
            roles: Vec::new(),
        }
    }

    fn kind(&self, after: &Self) -> Kind {
        match (self.allowed, after.allowed) {
            (true, false) => Kind::Refused,
            (false, true) => Kind::Allowed,
            (true, true) if self.cell != after.cell => Kind::Moved,
            _ => Kind::Other,
        }
    }

    /// The text of both. Roles are told if nothing else differs.
    fn texts(&self, after: &Self) -> [String; 2] {
        if self.text != after.text {
            return [self.text.clone(), after.text.clone()];
        }
        let with = |it: &Self| match it.roles.is_empty() {
            true => format!("{} without roles", it.text),
            false => format!("{} with roles {}", it.text, it.roles.join("+")),
        };
        [with(self), with(after)]
    }
}

/// The decisions about all requests of all callers, before the change and after it.
pub(super) struct Decided {
    pub(super) callers: Vec<Caller>,
    pub(super) requests: Vec<Asked>,
    /// By positions of caller and request.
    pub(super) outcomes: BTreeMap<(usize, usize), [Outcome; 2]>,
    undecided_tenants: usize,
    undecided_requests: usize,
}

impl Decided {
    /// Decides everything.
    pub(super) fn decide(old: &Side, new: &Side, classes: &[Class]) -> Result<Self, RehearseError> {
        let decided = classes.len().min(CLASSES_MAX);
        let (callers, (requests, undecided_requests)) =
            (callers(old, new, &classes[..decided]), requests(old, new));
        let [before, after] = [old, new].map(|side| {
            let issuers = issuers(old, new);
            let text = cases(side, &callers, &requests, &issuers);
            rows(side, &text)
        });
        let (before, after) = (before?, after?);
        let mut outcomes = BTreeMap::new();
        for at in pairs(&callers, &requests) {
            let of = |rows: &BTreeMap<(usize, usize), Outcome>| {
                rows.get(&at).cloned().unwrap_or_else(Outcome::nowhere)
            };
            outcomes.insert(at, [of(&before), of(&after)]);
        }
        Ok(Self {
            callers,
            requests,
            outcomes,
            undecided_tenants: classes[decided..].iter().map(|it| it.tenants).sum(),
            undecided_requests,
        })
    }

    /// What differs.
    pub(super) fn compare(&self, classes: &[Class]) -> Decisions {
        let mut changed: BTreeMap<(usize, Kind, [String; 2]), BTreeSet<usize>> = BTreeMap::new();
        let served = self
            .outcomes
            .iter()
            .filter(|(_, sides)| sides.iter().any(|it| it.allowed));
        let served: BTreeSet<_> = served.map(|((caller, _), _)| *caller).collect();
        let mut refused_otherwise = 0;
        for ((caller, request), [before, after]) in &self.outcomes {
            if before == after {
                continue;
            }
            // Such as tokens of one customer's issuer for another's tenant.
            if !served.contains(caller) {
                refused_otherwise += 1;
                continue;
            }
            let how = (*caller, before.kind(after), before.texts(after));
            changed.entry(how).or_default().insert(*request);
        }
        // Callers of a class that see the same are told together.
        let mut merged: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for ((caller, kind, texts), requests) in changed {
            let class = self.callers[caller].class;
            let key = (class.is_none(), class, kind, texts, requests);
            merged.entry(key).or_default().push(caller);
        }
        let changes = merged.into_iter();
        let changes = changes.map(|((_, class, kind, [before, after], requests), callers)| {
            let known = class.map(|at| &classes[at]);
            let all_callers = self.callers.iter().filter(|it| it.class == class).count();
            let asked = self.requests.iter().filter(|it| it.preflight.is_none());
            let told = |at: usize| self.requests[at].describe(self.has_listeners());
            Change {
                of: class,
                class: known.map_or("callers of no listed tenant".to_owned(), |it| {
                    it.name.clone()
                }),
                tenants: known.map_or(0, |it| it.tenants),
                example: known.map_or_else(String::new, |it| it.example.clone()),
                all_callers: callers.len() == all_callers,
                all_requests: requests.len() == asked.count(),
                callers: callers
                    .into_iter()
                    .map(|at| self.callers[at].kind.clone())
                    .collect(),
                requests: requests.into_iter().map(told).collect(),
                kind,
                before,
                after,
            }
        });
        Decisions {
            compared: self.outcomes.len(),
            changes: changes.collect(),
            refused_otherwise,
            undecided_tenants: self.undecided_tenants,
            undecided_requests: self.undecided_requests,
        }
    }

    fn has_listeners(&self) -> bool {
        let names: BTreeSet<_> = self.requests.iter().map(|it| &it.listener).collect();
        names.len() > 1
    }
}

/// Which caller sends which request. Only browsers send preflights, and without credentials.
fn pairs(callers: &[Caller], requests: &[Asked]) -> Vec<(usize, usize)> {
    let sends =
        |caller: usize, request: usize| caller == 0 || requests[request].preflight.is_none();
    let all = (0..callers.len()).flat_map(|at| (0..requests.len()).map(move |it| (at, it)));
    all.filter(|(caller, request)| sends(*caller, *request))
        .collect()
}

/// The file of cases for one side.
fn cases(
    side: &Side,
    callers: &[Caller],
    requests: &[Asked],
    issuers: &[&cellway_core::policy::Issuer],
) -> String {
    let callers = callers.iter().enumerate();
    let callers = callers.map(|(at, it)| Value::Table(it.case(&format!("c{at}"), side, issuers)));
    let listens = |name: &str| {
        let mut listeners = side.settings.listeners.iter();
        listeners.any(|listener| *listener.name == *name)
    };
    let requests = requests.iter().enumerate();
    let requests = requests.filter(|(_, asked)| listens(&asked.listener));
    let requests = requests.map(|(at, asked)| {
        let mut case = asked.case(&format!("r{at}"));
        if asked.preflight.is_some() {
            let first = vec![Value::from("c0")];
            case.insert("callers".to_owned(), Value::Array(first));
        }
        Value::Table(case)
    });
    let cases = Table::from_iter([
        ("caller".to_owned(), Value::Array(callers.collect())),
        ("request".to_owned(), Value::Array(requests.collect())),
    ]);
    cases.to_string()
}

/// The decisions of one side, by the positions of caller and request.
fn rows(side: &Side, text: &str) -> Result<BTreeMap<(usize, usize), Outcome>, RehearseError> {
    let decide = Decide::new(&side.config, "the rehearsal's cases");
    let decide = decide.cases_text(text).registry(&side.registry_file);
    let decisions = decide.run()?;
    let number = |name: &str| name[1..].parse::<usize>().ok();
    let rows = decisions.rows().iter();
    let at = |row: &Row| Some((number(&row.caller)?, number(&row.request)?));
    Ok(rows
        .filter_map(|row| Some((at(row)?, Outcome::of(row))))
        .collect())
}
