//! What a cell says about a request.

use cellway_core::envelope::{EnvelopeRefused, Verdict};
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Ended, Received};
use crate::body::Buffered;
use crate::serve::Peer;

/// The answer's body: a header that came once is a string, one that came several times a list.
pub(super) fn echo(
    peer: &Peer,
    received: &Received,
    ended: &Ended,
    verdict: Option<&Verdict>,
) -> String {
    let mut echo = json!({
        "cell": received.cell,
        "peer": received.peer,
        "version": received.version,
        "method": received.method,
        "authority": received.authority,
        "path": received.path,
        "headers": by_name(&received.headers),
        "body_bytes": ended.body_bytes,
        "trailers": by_name(&ended.trailers),
    });
    if peer.early_hints > 0 {
        echo["early_hints"] = peer.early_hints.into();
    }
    if let Some(verdict) = verdict {
        echo["envelope"] = match verdict {
            Verdict::Verified(caller) => json!({
                "tenant": caller.tenant.as_ref().map(|tenant| tenant.as_str()),
                "sub": caller.subject.as_ref().map(|subject| subject.as_str()),
                "cell": caller.cell.as_str(),
                "placement_epoch": caller.placement_epoch,
            }),
            Verdict::Local(refused) => json!({ "refused": refused.as_str() }),
        };
    }
    format!("{echo:#}\n")
}

/// The same refusal as [`EnvelopeLayer`](cellway_service::EnvelopeLayer)'s, but with a text body for people.
pub(super) fn refusal(refused: EnvelopeRefused) -> Response<Buffered> {
    let status = if refused == EnvelopeRefused::NoKeys {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::FORBIDDEN
    };
    let body = json!({ "refused": refused.as_str() });
    Buffered::json(status, format!("{body}\n"))
}

fn by_name(pairs: &[(String, String)]) -> Value {
    let mut names = Map::new();
    for (name, value) in pairs {
        let value = Value::from(value.as_str());
        match names.get_mut(name) {
            None => {
                names.insert(name.clone(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    names.into()
}
