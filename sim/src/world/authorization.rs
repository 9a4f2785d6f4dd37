//! Cell-bound authorizations of clients, good and bad.

use std::time::Duration;

use cellway_testbed::{Claims, Signer};

use super::credentials::{CellBoundToken, RequestCredentials};
use super::keys::{self, CELL_KEY};
use super::state::{WorldHandle, unix_at};
use crate::fact::CellBound;
use crate::scenario::{Authorization, Client};

/// How long an authorization is valid.
const LIFETIME: Duration = Duration::from_secs(30);

/// Adds a cell-bound authorization to a request's credentials if its client calls on behalf of a cell.
/// `None` if there is no authorization to replay yet.
pub(super) fn bind(
    world: &WorldHandle,
    spec: &Client,
    (router, tag): (&str, &str),
    elapsed: Duration,
    shown: RequestCredentials,
) -> Option<RequestCredentials> {
    let Some(bound) = &spec.cell_bound else {
        return Some(shown);
    };
    let own = || keys::cell(world.seed(), &bound.source);
    let (signer, genuine) = match bound.shows {
        Authorization::Replayed => {
            let last = (router.to_owned(), bound.source.clone());
            return world.lock().spent.get(&last).cloned();
        }
        Authorization::Forged => (keys::forged(world.seed(), CELL_KEY), false),
        Authorization::Good | Authorization::Misdirected | Authorization::ForAnother => {
            (own(), true)
        }
    };
    let signer = signer.expect("32 bytes are an Ed25519 key");
    let (token, truth) = sign(world, spec, &signer, tag, elapsed);
    let truth = CellBound { genuine, ..truth };
    Some(RequestCredentials {
        bound: Some(CellBoundToken { token, truth }),
        ..shown
    })
}

/// Remembers credentials that this router has accepted, for clients that replay them.
pub(super) fn spent(world: &WorldHandle, spec: &Client, router: &str, shown: &RequestCredentials) {
    let bound = spec.cell_bound.as_ref();
    let good = bound.filter(|bound| bound.shows == Authorization::Good);
    if let Some(bound) = good {
        let last = (router.to_owned(), bound.source.clone());
        world.lock().spent.insert(last, shown.clone());
    }
}

fn sign(
    world: &WorldHandle,
    spec: &Client,
    signer: &Signer,
    jti: &str,
    elapsed: Duration,
) -> (String, CellBound) {
    let bound = spec.cell_bound.as_ref();
    let bound = bound.expect("the caller has checked that the client calls on behalf of a cell");
    let destination = destination(world, spec, bound.shows == Authorization::Misdirected);
    let subject = match bound.shows == Authorization::ForAnother {
        true => "somebody-else",
        false => &spec.name,
    };
    let now = unix_at(elapsed);
    let expires = now.after(LIFETIME);
    let claims = Claims::cell_bound(&bound.source, &destination, jti, now)
        .with("exp", expires.as_secs())
        .with("tenant", spec.tenant.as_str())
        .subject(subject);
    let token = claims.sign(signer).expect("Ed25519 signs anything");
    let truth = CellBound {
        source: bound.source.clone(),
        genuine: true,
        destination,
        tenant: spec.tenant.clone(),
        subject: subject.to_owned(),
        jti: jti.to_owned(),
        expires: Duration::from_secs(expires.as_secs()),
    };
    (token, truth)
}

/// The cell of the client's tenant, or another cell.
fn destination(world: &WorldHandle, spec: &Client, misdirected: bool) -> String {
    let state = world.lock();
    let assignment = state.documents.assignment();
    let of = |tenant: &String| assignment.get(tenant).and_then(|cells| cells.first());
    let right = of(&spec.tenant);
    let mut others = assignment
        .values()
        .flatten()
        .filter(|cell| Some(*cell) != right);
    let chosen = if misdirected { others.next() } else { right };
    chosen.map_or_else(|| "nowhere".to_owned(), Clone::clone)
}
