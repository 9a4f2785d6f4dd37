//! An external authorizer for Envoy. It makes the same decisions as the proxy path, for requests
//! that an Envoy forwards.
//!
//! A check has one of three forms: gRPC `envoy.service.auth.v3.Authorization/Check`, the same
//! messages as JSON, or a copy of the request's header (Envoy's `http_service`). For the last two,
//! the answer is an HTTP status: 200 allows the request, and any other status refuses it. If
//! something is wrong with the check itself, the answer is an error and never allows the request.
//! An Envoy with `failure_mode_allow: false` then refuses the request.
//!
//! The listener also answers gRPC's [health service](crate::health_service) about the router itself,
//! because an Envoy checks the health of its authorizer there.

mod answer;
mod caller;
mod describe;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::Reason;
use cellway_env::Env;
use cellway_envoy::{CheckRequest, grpc};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, Method, Request, Uri, Version};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use self::answer::Mutations;
use self::describe::{Described, described, described_in_part};
use crate::active_config::ActiveConfig;
use crate::data_plane::authz::{Case, Refused, authorize, stamp};
use crate::data_plane::connection::Connection;
use crate::data_plane::incoming::Incoming;
use crate::data_plane::origin::Origin;
use crate::data_plane::proxy::answer::{Wants, closing, envelope_keys, from_router};
use crate::data_plane::proxy::{Announced, Answer, Report, settle_rest};
use crate::data_plane::rates::{self, Limits};
use crate::data_plane::turns::Turns;
use crate::data_plane::well_formed;
use crate::envelope;
use crate::health_service::Call;
use crate::observe::event::Sink;

/// The path of the gRPC method.
const GRPC_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
/// The path for checks in JSON, and for checks of the header without method and path.
const CHECK_PATH: &str = "/ext_authz/v3/check";
/// The values that Envoy's `path_prefix` may put before the path of the request.
const HTTP_PREFIXES: [&str; 2] = ["/ext_authz/v3/http", CHECK_PATH];

/// The most bytes of a check. This is more than an Envoy's largest header and a client's chain
/// need. A check doesn't need the request's body.
const CHECK_BYTES_MAX: usize = 256 * 1024;

/// The form of a check and its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// A `CheckRequest` in gRPC.
    Grpc,
    /// A `CheckRequest` in JSON.
    Json,
    /// The header of the request itself.
    Http,
}

impl Form {
    /// The form of an error.
    fn wants(self) -> Wants {
        Wants::new(self == Self::Grpc)
    }
}

/// The kind of check at a path.
enum Address<'a> {
    Grpc,
    /// With a body, a `CheckRequest` in JSON. Without one, the header itself is checked.
    Check,
    /// The header itself is checked, and this is the target of the request.
    Prefixed(&'a str),
}

impl<'a> Address<'a> {
    fn of(request: &'a Parts) -> Option<Self> {
        match (&request.method, request.uri.path()) {
            (&Method::POST, GRPC_PATH) if request.version == Version::HTTP_2 => {
                return Some(Self::Grpc);
            }
            (&Method::POST, CHECK_PATH) => return Some(Self::Check),
            _ => {}
        }
        let path = request.uri.path_and_query()?.as_str();
        let mut rests = HTTP_PREFIXES.iter();
        let rest = rests.find_map(|prefix| path.strip_prefix(prefix))?;
        (rest.starts_with('/') || rest == "*").then_some(Self::Prefixed(rest))
    }
}

/// Answers one check, and handles a body that the answer doesn't wait for.
pub(crate) async fn serve<E: Env, S: Sink>(
    connection: Arc<Connection<E, S>>,
    request: Request<Incoming>,
    turns: Turns,
) -> Answer<E, S> {
    let (head, incoming) = request.into_parts();
    let announced = Announced::of(&head);
    let mut unread = Some(incoming);
    let answer = answered(connection.clone(), turns, head, &mut unread).await;
    let closes = match unread.filter(|body| !body.is_end_stream()) {
        Some(rest) => {
            let settled = settle_rest(&connection, announced, Some(rest));
            settled.decided().await
        }
        None => false,
    };
    closing(answer, closes)
}

/// Answers one check. Takes its body if it reads it.
async fn answered<E: Env, S: Sink>(
    connection: Arc<Connection<E, S>>,
    turns: Turns,
    head: Parts,
    unread: &mut Option<Incoming>,
) -> Answer<E, S> {
    let (request_id, spread) = connection.worker.next_id();
    let report = Report::new(connection, &head.method, request_id, turns);
    // Under this configuration the router decides whether it reads the check. Reading it may take a
    // while, so the described request is decided under another view, and the caller is checked again.
    let config = report.connection.worker.views.config();
    let asking = asking(&head);
    if let Err(outdated) = report.connection.accepted(&config) {
        let wants = asking.closing(true);
        return from_router(report, config.header_rules(), &outdated.into(), &wants);
    }
    // This page is public. A described request never has this path, except after the prefix of the
    // plain form.
    if envelope::is_asked(&head.uri) {
        return envelope_keys(report, &config, &head);
    }
    if let Err(unfit) = well_formed::well_formed(&head) {
        return from_router(report, config.header_rules(), &unfit.into(), &asking);
    }
    let checked = caller::check(&report.connection, &config);
    if let (Ok(()), Some(call)) = (&checked, Call::of(&head)) {
        let limit = config.listener(report.connection.listener).timeouts.header;
        return match whole(limit, unread).await {
            Ok(body) => answer::health(report, call, &body),
            Err(refused) => from_router(report, config.header_rules(), &refused, &asking),
        };
    }
    let asked = match checked {
        Ok(()) => asked(&report, &config, head, unread).await,
        Err(refused) => Err(refused),
    };
    let (form, described) = match asked {
        Ok(asked) => asked,
        Err(refused) => return from_router(report, config.header_rules(), &refused, &asking),
    };
    drop(config);
    decided(report, spread, form, described).await
}

/// The form of an error in which the check itself is refused.
///
/// The status of a gRPC answer is 200. In the plain form, an Envoy takes that for a request that is allowed,
/// whatever else the answer says, and the client chooses the `Content-Type`. So only calls of gRPC get such
/// an answer.
fn asking(head: &Parts) -> Wants {
    let mut asking = Wants::of(head);
    let calls = matches!(Address::of(head), Some(Address::Grpc)) || Call::of(head).is_some();
    asking.grpc &= calls;
    asking
}

/// Decides the described request.
async fn decided<E: Env, S: Sink>(
    report: Report<E, S>,
    spread: u64,
    form: Form,
    described: Described,
) -> Answer<E, S> {
    let Described {
        mut parts,
        client,
        address,
        has_target,
    } = described;
    let mut wants = Wants::of(&parts);
    wants.grpc &= form != Form::Http;
    let before: Vec<HeaderName> = parts.headers.keys().cloned().collect();
    let checked = well_formed::check(&parts, |_| false);
    let case = Case {
        client: client.as_ref(),
        origin: address.map(Origin::client),
        forwards: false,
        has_target,
        ..report.case(spread)
    };
    let view = report.connection.worker.views.load();
    let (view, decided) = authorize(&case, view, checked, &mut parts).await;
    let stamped = decided.and_then(|allow| {
        // Reading the check or waiting for keys may have taken a while, and a reload may have removed
        // the caller.
        caller::check(&report.connection, &view.config)?;
        // Envoy has rate limits of its own for its routes. The registry's apply here too.
        let limits = Limits {
            allow: &allow,
            traffic: None,
            shared_by: view.config.settings.rate_limits.shared_by,
        };
        let worker = &report.connection.worker;
        rates::admit(&limits, &worker.buckets, &worker.reporter, case.name)?;
        stamp(&case, &view.config, &allow, &mut parts)?;
        Ok(Mutations::new(&before, &parts.headers, &view, &allow))
    });
    let rules = view.config.header_rules();
    match stamped {
        Ok(mutations) => answer::allow(report, rules, form, mutations),
        Err(refused) => answer::deny(report, rules, form, &refused, &wants),
    }
}

/// Reads the check.
async fn asked<E: Env, S: Sink>(
    report: &Report<E, S>,
    config: &ActiveConfig,
    head: Parts,
    unread: &mut Option<Incoming>,
) -> Result<(Form, Described), Refused> {
    const NOTHING: &str = "not an external authorization request; expected POST \
                           /ext_authz/v3/check, or a request's method and path under \
                           /ext_authz/v3/http";
    let refuse = |detail| Refused::new(Reason::BadRequest, detail);
    let limit = config.listener(report.connection.listener).timeouts.header;
    let (form, described) = match Address::of(&head).ok_or_else(|| refuse(NOTHING))? {
        Address::Prefixed(target) => (Form::Http, described_by(target, &head)),
        Address::Grpc => {
            let body = whole(limit, unread).await?;
            (Form::Grpc, grpc::read(&body).and_then(described))
        }
        Address::Check => {
            let body = whole(limit, unread).await?;
            match body.is_empty() {
                true => (Form::Http, Ok(Described::without_target(head))),
                false => (Form::Json, json(&body)),
            }
        }
    };
    Ok((form, described.map_err(refuse)?))
}

/// Reads a `CheckRequest`, which may leave out method and path.
fn json(body: &[u8]) -> Result<Described, &'static str> {
    let check = serde_json::from_slice::<CheckRequest>(body);
    let check = check.map_err(
        |_| "the body is not a CheckRequest of envoy.service.auth.v3 in JSON; send one, or no body",
    )?;
    described_in_part(check)
}

/// The copied request, without the prefix. It can't have a certificate.
fn described_by(target: &str, head: &Parts) -> Result<Described, &'static str> {
    const NONE: &str = "the path after the prefix is missing";
    let target = PathAndQuery::try_from(target).map_err(|_| NONE)?;
    let mut head = head.clone();
    let mut uri = head.uri.into_parts();
    uri.path_and_query = Some(target);
    head.uri = Uri::from_parts(uri).map_err(|_| NONE)?;
    Ok(Described {
        parts: head,
        client: None,
        address: None,
        has_target: true,
    })
}

/// Reads the check's body, which must be short and arrive within `limit`.
async fn whole(limit: Duration, unread: &mut Option<Incoming>) -> Result<Bytes, Refused> {
    let Some(incoming) = unread.take() else {
        return Ok(Bytes::new());
    };
    let reading = Limited::new(incoming, CHECK_BYTES_MAX).collect();
    match timeout(limit, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Refused::new(
            Reason::BadRequest,
            "the authorization request is too long, or its body broke off",
        )),
        Err(_) => Err(Refused::new(
            Reason::ClientTimeout,
            "the body of the authorization request stopped",
        )),
    }
}
