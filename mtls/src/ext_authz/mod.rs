//! An external authorizer for Envoy: the same decisions about requests that an Envoy passes on.
//!
//! It asks in one of three forms: gRPC `envoy.service.auth.v3.Authorization/Check`, the same
//! messages as JSON, or a copy of the request's header under a prefix (Envoy's `http_service`).
//! Whatever goes wrong with the question itself is answered with an error and never with leave to
//! pass; an Envoy with `failure_mode_allow: false` refuses the request then.

mod answer;
mod caller;
mod describe;
pub(crate) mod grpc;
pub(crate) mod message;

use std::sync::Arc;

use bytes::Bytes;
use cellway_core::Reason;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, Method, Request, Uri, Version};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use self::answer::Mutations;
use self::describe::{Described, described};
use self::message::CheckRequest;
use crate::connection::{Connection, Origin};
use crate::env::Env;
use crate::envelope;
use crate::event::Sink;
use crate::judge::{Case, Judged, Refused, judge, stamp};
use crate::proxy::answer::{Wants, envelope_keys, from_router};
use crate::proxy::{Answer, Report, check};

/// gRPC's own name of the method.
const GRPC_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Where the messages are taken as JSON.
const JSON_PATH: &str = "/ext_authz/v3/check";
/// What Envoy's `path_prefix` puts before the path of the request.
const HTTP_PREFIX: &str = "/ext_authz/v3/http";

/// The longest question, in bytes: an Envoy's largest header, a client's chain, and to spare. It
/// has no need to send bodies.
const CHECK_BYTES_MAX: usize = 256 * 1024;

/// How it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Grpc,
    Json,
    Http,
}

impl Form {
    fn of(request: &Parts) -> Option<Self> {
        let path = request.uri.path();
        let rest = path.strip_prefix(HTTP_PREFIX);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || rest == "*") {
            return Some(Self::Http);
        }
        match (&request.method, path) {
            (&Method::POST, GRPC_PATH) if request.version == Version::HTTP_2 => Some(Self::Grpc),
            (&Method::POST, JSON_PATH) => Some(Self::Json),
            _ => None,
        }
    }

    /// How an error is said.
    fn wants(self) -> Wants {
        Wants::new(self == Self::Grpc)
    }
}

/// Answers one question.
pub(crate) async fn serve<E: Env, S: Sink>(
    connection: Arc<Connection<E, S>>,
    request: Request<Incoming>,
) -> Answer<E, S> {
    let (request_id, spread) = connection.worker.next_id();
    let report = Report::new(connection, request_id);
    let (head, incoming) = request.into_parts();
    // Public, like the page itself; no request that is asked about has this path, but under the
    // prefix of the plain form.
    if envelope::is_asked(&head.uri) {
        return envelope_keys(report, &head, false);
    }
    let asking = Wants::of(&head);
    if let Err(unfit) = check::well_formed(&head) {
        return from_router(report, &unfit.into(), &asking);
    }
    let asked = match caller::check(&report.connection) {
        Ok(()) => asked(&report, head, incoming).await,
        Err(refused) => Err(refused),
    };
    let (form, described) = match asked {
        Ok(asked) => asked,
        Err(refused) => return from_router(report, &refused, &asking),
    };
    let Described {
        mut parts,
        client,
        address,
    } = described;
    let wants = Wants::of(&parts);
    let before: Vec<HeaderName> = parts.headers.keys().cloned().collect();
    let checked = check::check(&parts);
    let case = Case {
        client: client.as_ref(),
        origin: address.map(Origin::client),
        forwards: false,
        ..report.case(spread)
    };
    let judged = judge(&case, checked, &mut parts).await;
    match judged {
        Ok(Judged { allow, snapshot }) => match stamp(&case, &snapshot, &allow, &mut parts) {
            Ok(()) => {
                let mutations = Mutations::new(&before, &parts.headers, &snapshot, &allow);
                drop(snapshot);
                answer::allow(report, form, mutations)
            }
            Err(refused) => {
                drop(snapshot);
                answer::deny(report, form, &refused, &wants)
            }
        },
        Err(refused) => answer::deny(report, form, &refused, &wants),
    }
}

/// Reads the question.
async fn asked<E: Env, S: Sink>(
    report: &Report<E, S>,
    head: Parts,
    incoming: Incoming,
) -> Result<(Form, Described), Refused> {
    let refuse = |detail| Refused::new(Reason::BadRequest, detail);
    let form = Form::of(&head).ok_or_else(|| refuse("nothing is asked for so here"))?;
    let described = match form {
        Form::Http => unprefixed(head),
        Form::Grpc => {
            let body = whole(report, incoming).await?;
            grpc::read(&body).and_then(described)
        }
        Form::Json => {
            let body = whole(report, incoming).await?;
            serde_json::from_slice::<CheckRequest>(&body)
                .map_err(|_| "no JSON of a CheckRequest")
                .and_then(described)
        }
    };
    Ok((form, described.map_err(refuse)?))
}

/// The request that was copied: the same but for the prefix. Nothing in it can be a certificate.
fn unprefixed(mut head: Parts) -> Result<Described, &'static str> {
    let path = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let path = path.strip_prefix(HTTP_PREFIX).unwrap_or_default();
    if !path.starts_with('/') && path != "*" {
        return Err("no path after the prefix");
    }
    let path = PathAndQuery::try_from(path).map_err(|_| "no path after the prefix")?;
    let mut parts = head.uri.into_parts();
    parts.path_and_query = Some(path);
    head.uri = Uri::from_parts(parts).map_err(|_| "no path after the prefix")?;
    Ok(Described {
        parts: head,
        client: None,
        address: None,
    })
}

/// The question's body, which may neither be long nor take long.
async fn whole<E: Env, S: Sink>(
    report: &Report<E, S>,
    incoming: Incoming,
) -> Result<Bytes, Refused> {
    let limit = {
        let live = report.connection.worker.common.live.load();
        let settings = live.settings.listeners.get(report.connection.listener);
        settings.map_or_else(Default::default, |settings| settings.timeouts.header)
    };
    let reading = Limited::new(incoming, CHECK_BYTES_MAX).collect();
    match timeout(limit, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Refused::new(
            Reason::BadRequest,
            "the question is too long, or broke off",
        )),
        Err(_) => Err(Refused::new(
            Reason::ClientTimeout,
            "the question stopped coming",
        )),
    }
}
