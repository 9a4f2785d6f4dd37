//! The clients of a scenario: for each class of tenants one for each kind of credential that is allowed,
//! before the change or after it.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::super::cases::{Caller, Grant, Proof};
use super::super::decisions::Decided;
use super::names::Names;
use super::world::World;
use super::{Ends, Known, Part, millis, table};

/// The most clients, and the most of one class.
const CLIENTS_MAX: usize = 40;
const OF_CLASS_MAX: usize = 4;

/// With more clients, each sends fewer requests.
const MANY: usize = 16;

/// The clients of a scenario.
pub(super) struct Clients {
    all: Vec<Client>,
    pub(super) remarks: Vec<String>,
}

struct Client {
    name: String,
    class: Option<usize>,
    table: Table,
    /// Whether its requests are allowed before the change, and after it.
    allowed: [bool; 2],
    /// Why requests of its path are refused, on one side or the other.
    denials: BTreeSet<String>,
}

impl Clients {
    pub(super) fn new(ends: &Ends<'_>, world: &World, names: &mut Names) -> Result<Self, String> {
        let decided = ends.decided;
        let mut all: Vec<Client> = Vec::new();
        let mut left_out = 0;
        // Simulated cells refuse requests without an envelope, and anonymous requests have none.
        let sides = [ends.old.0, ends.new.0];
        let sealed = sides.iter().any(|side| side.settings.envelope.is_some());
        let anonymous = [None].into_iter().filter(|_| !sealed);
        let classes = world.classes.iter().copied().map(Some).chain(anonymous);
        for class in classes {
            let mut kinds = BTreeSet::new();
            for (at, caller) in decided.callers.iter().enumerate() {
                // Of callers without a listed tenant, only the anonymous one has a place in a scenario.
                let is_of = caller.class == class && (class.is_some() || at == 0);
                let Some(found) = is_of.then(|| allowed(ends, at)).flatten() else {
                    continue;
                };
                let Some(kind) = kind(caller) else { continue };
                if kinds.len() >= OF_CLASS_MAX || !kinds.insert(kind) {
                    continue;
                }
                match all.len() < CLIENTS_MAX {
                    true => all.push(client(ends, (at, caller), class, found, names)),
                    false => left_out += 1,
                }
            }
        }
        if all.is_empty() {
            return Err("no caller is allowed, so there would be no traffic".to_owned());
        }
        let mut remarks = Vec::new();
        if sealed && allowed(ends, 0).is_some() {
            remarks.push(
                "no client is anonymous, because simulated cells refuse requests without an envelope"
                    .to_owned(),
            );
        }
        if left_out > 0 {
            remarks.push(format!("{left_out} kinds of callers have no client"));
        }
        Ok(Self { all, remarks })
    }

    /// The clients that are refused at the end of a scenario.
    pub(super) fn refused(&self, part: Part) -> Vec<Value> {
        let end = usize::from(part != Part::Before);
        let refused = self.all.iter().filter(|client| !client.allowed[end]);
        refused.map(|client| client.name.clone().into()).collect()
    }

    /// What a report must know of them.
    pub(super) fn known(&self) -> Vec<Known> {
        let known = |client: &Client| Known {
            name: client.name.clone(),
            class: client.class,
            denials: client.denials.clone(),
        };
        self.all.iter().map(known).collect()
    }

    /// The table `[workload]`. `timeout_ms` is how long they wait for an answer.
    pub(super) fn workload(&self, timeout_ms: u64) -> Table {
        let rate = if self.all.len() > MANY { "2/s" } else { "4/s" };
        let clients = self.all.iter().map(|client| {
            let mut table = client.table.clone();
            table.insert("rate".to_owned(), rate.into());
            table.insert("timeout".to_owned(), millis(timeout_ms));
            Value::Table(table)
        });
        table([("client", Value::Array(clients.collect()))])
    }
}

/// A request of this caller that is allowed on one side at least, if there is one: its path, and on which
/// sides it is allowed.
fn allowed(ends: &Ends<'_>, caller: usize) -> Option<(String, [bool; 2])> {
    let decided = ends.decided;
    let requests = decided.requests.iter().enumerate();
    // A path with a policy of its own has another one in the simulation.
    let common = |path: &str| {
        [ends.old.1, ends.new.1].iter().all(|listener| {
            listener
                .route_of(path)
                .is_ok_and(|routed| routed.policy == listener.policy)
        })
    };
    let here = requests.filter(|(_, asked)| {
        *asked.listener == *ends.old.1.name
            && !asked.grpc
            && asked.preflight.is_none()
            && common(&asked.path)
    });
    let outcomes = here.filter_map(|(at, asked)| {
        let [before, after] = decided.outcomes.get(&(caller, at))?;
        Some((asked.path.clone(), [before.allowed, after.allowed]))
    });
    // Preferably one that is allowed on both.
    let mut found: Vec<_> = outcomes.filter(|(_, [old, new])| *old || *new).collect();
    found.sort_by_key(|(_, [old, new])| !(*old && *new));
    found.into_iter().next()
}

/// Why requests of this caller are refused, on one side or the other.
fn denials(decided: &Decided, caller: usize) -> BTreeSet<String> {
    let theirs = decided.outcomes.range((caller, 0)..(caller + 1, 0));
    let outcomes = theirs.flat_map(|(_, outcomes)| outcomes);
    let denied = outcomes.filter(|outcome| !outcome.allowed);
    denied.map(|outcome| outcome.reason.clone()).collect()
}

/// What a client has in common with others of its class. `None`: the simulator has no such client.
fn kind(caller: &Caller) -> Option<String> {
    let granted = |grant: &Grant| match &grant.roles {
        None => String::new(),
        Some(_) => "-with-role".to_owned(),
    };
    match &caller.proof {
        Proof::None => Some("anonymous".to_owned()),
        Proof::Token(grant) => Some(format!("token{}", granted(grant))),
        Proof::Certificate(_) => Some("certificate".to_owned()),
        Proof::Both(grant, _) => Some(format!("both{}", granted(grant))),
        Proof::Gateway(_) | Proof::Signer(_) => None,
    }
}

fn client(
    ends: &Ends<'_>,
    (at, caller): (usize, &Caller),
    class: Option<usize>,
    (path, allowed): (String, [bool; 2]),
    names: &mut Names,
) -> Client {
    let example = class.map(|at| ends.classes[at].example.clone());
    let tenant = match &example {
        Some(example) => names.of("tenant", example),
        None => "nobody".to_owned(),
    };
    let kind = kind(caller).unwrap_or_default();
    let name = names.of("client", &format!("{tenant}-{kind}"));
    let (credential, grant) = match &caller.proof {
        Proof::Token(grant) => ("token", Some(grant)),
        Proof::Certificate(_) => ("certificate", None),
        Proof::Both(grant, _) => ("both", Some(grant)),
        Proof::None | Proof::Gateway(_) | Proof::Signer(_) => ("none", None),
    };
    let mut client = table([
        ("name", name.clone().into()),
        ("tenant", tenant.into()),
        ("credential", credential.into()),
        ("path", path.into()),
    ]);
    if let Some(grant) = grant {
        client.insert(
            "issuer".to_owned(),
            names.of("issuer", &grant.issuer).into(),
        );
        let mut claims = Table::new();
        if let Some(roles) = &grant.roles {
            claims.insert("roles".to_owned(), roles.clone().into());
        }
        if !grant.scopes.is_empty() {
            claims.insert("scopes".to_owned(), grant.scopes.clone().into());
        }
        if !claims.is_empty() {
            client.insert("claims".to_owned(), Value::Table(claims));
        }
    }
    Client {
        name,
        class,
        denials: denials(ends.decided, at),
        table: client,
        allowed,
    }
}
