//! `cellway explain`

mod token;

use std::sync::Arc;

use arc_swap::ArcSwap;
use cellway_core::cert::PeerCertificate;
use cellway_core::policy::{Policy, PolicyId};
use cellway_core::{Decision, Mismatch, mismatches};
use cellway_env::Clock;
use cellway_env::fetch::Client;
use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Privacy, Store};
use cellway_router::config::Config;
use cellway_router::explain::{
    Envelope, Explanation, NOT_ASKED, Question, envelope, explain, gather,
};
use cellway_router::settings::{
    ClientCertificate, ListenerSettings, Pem, Routed, RouterSettings, Serves,
};
use cellway_router::tls::{Provider, router_source_config, verified_leaf};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method};

use super::input::ConfigFile;
use super::{Exit, block_on, complain, failed, misused, say};

/// The most bytes of a token's file.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// The arguments of `cellway explain`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Reads the configuration, key and registry files and last-known-good copies, and asks identity
providers and the control plane as the router would (--offline: only files). Nothing is sent to a
cell.

Examples:
  cellway explain -c cellway.toml --token-file token.jwt --path /orders
  cellway explain -c cellway.toml --cert client.pem --listener public --json
  cellway explain -c cellway.toml --cert client.pem --method POST --path '/orders?id=7'
  cellway explain -c cellway.toml --token \"$TOKEN\" --offline

Exit codes: 0 the request would be allowed, 1 it would be denied (or the configuration has
mistakes), 2 usage (the configuration has no such listener, the listener asks for no certificate), 3 a file can't
be read")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// The bearer token (other users of this machine may see it; better use --token-file)
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// A file with the bearer token
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
    /// A PEM file with the client's certificate chain, leaf first. Without it the client shows none
    #[arg(long, value_name = "FILE")]
    cert: Option<String>,
    /// Path and query of the request: the listener's routes go by it, the policy's rules, and a
    /// routing key's signature
    #[arg(long, default_value = "/", value_parser = path_and_query)]
    path: String,
    /// Method of the request, for the policy's rules and a routing key's signature
    #[arg(long, default_value = "GET")]
    method: Method,
    /// The request is a gRPC call (as --method POST, with the content type application/grpc)
    #[arg(long, conflicts_with = "method")]
    grpc: bool,
    /// The listener that gets the request (may be left out if there is only one)
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// The value of the header that picks one of several tenants
    #[arg(long, value_name = "TENANT")]
    tenant_choice: Option<String>,
    /// A file with the cell-bound authorization that the request shows
    #[arg(long, value_name = "FILE")]
    cba_file: Option<String>,
    /// The routing key that the request shows
    #[arg(long, value_name = "KEY")]
    routing_key: Option<String>,
    /// The value of the header with the routing key's signature
    #[arg(long, value_name = "SIGNATURE", requires = "authority")]
    routing_key_signature: Option<String>,
    /// Host and port of the request (a routing key's signature is over them)
    #[arg(long, value_name = "HOST", value_parser = authority)]
    authority: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Don't ask identity providers or the control plane: use only files and last-known-good copies
    #[arg(long, conflicts_with = "fetch")]
    offline: bool,
    /// Ask identity providers and the control plane (the default)
    #[arg(long)]
    fetch: bool,
}

/// A path that a request can have. Others never reach the router: its HTTP parser refuses them.
fn path_and_query(text: &str) -> Result<String, String> {
    match text.parse::<PathAndQuery>() {
        // The parser drops a fragment, which is never sent.
        Ok(path) if text.starts_with('/') && path.as_str() == text => Ok(text.to_owned()),
        _ => Err(
            "no request has it; give path and query as they are sent, such as /orders?id=7"
                .to_owned(),
        ),
    }
}

/// Host and port that a request can have.
fn authority(text: &str) -> Result<String, String> {
    match text.parse::<Authority>() {
        Ok(_) if !text.contains('@') => Ok(text.to_owned()),
        _ => Err("no request has it; give host and port, such as api.example:8443".to_owned()),
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Exit {
    let asked = match block_on(answer(args)) {
        Ok(asked) => asked,
        Err(error) => return failed(error),
    };
    asked.unwrap_or_else(|exit| exit)
}

async fn answer(args: &Args) -> Result<Exit, Exit> {
    let env = TokioEnv::new();
    let config = args.config.load(&env).await?;
    let settings = &config.router;
    let listener = listener(args, &config)?;
    let routed = routed(args, listener)?;
    let policy = routed.policy;
    let authorization = bearer(&env, args).await?;
    let cell_bound = match &args.cba_file {
        Some(path) => Some(of_file(path, &text(&env, path).await?)?),
        None => None,
    };
    let tenant_choice = of_option("--tenant-choice", args.tenant_choice.as_deref())?;
    let routing_key = of_option("--routing-key", args.routing_key.as_deref())?;
    let signature = args.routing_key_signature.as_deref();
    let routing_key_signature = of_option("--routing-key-signature", signature)?;
    let peer = peer(&env, args, settings, listener).await?;
    let client = match args.offline && !args.fetch {
        true => None,
        false => Some(client(&env, settings).await?),
    };
    let clock = Clock::new(env.clone());
    let (snapshot, sources) = gather(&env, &clock, settings, client.as_ref()).await;
    let question = Question {
        policy,
        method: if args.grpc {
            &Method::POST
        } else {
            &args.method
        },
        authority: args.authority.as_deref().unwrap_or_default(),
        path: &args.path,
        grpc: args.grpc,
        authorization,
        tenant_choice,
        cell_bound,
        routing_key,
        routing_key_signature,
        peer: peer.as_ref(),
    };
    let now = clock.now();
    let explanation = explain(&snapshot, &question, now);
    let told = question.authorization.as_ref();
    let told = told
        .and_then(|value| token::described(value.to_str().ok()?.strip_prefix(BEARER)?, now.unix));
    let doubts = mismatches(&settings.policy, snapshot.registry.as_deref());
    let envelope = match &explanation.decision {
        Decision::Allow(allow) => Some(envelope(&env, settings, allow, now).await),
        Decision::Deny(_) => None,
    };
    let text = match args.json {
        true => json(
            (listener, &routed),
            &explanation,
            envelope.as_ref(),
            told.as_deref(),
            (&sources, &doubts),
        ),
        false => {
            let (sources, told) = ((&*sources, &*doubts), told.as_deref());
            let mut page = heading(&settings.policy, (listener, &routed));
            page += &body(&explanation, sources, told, &settings.policy, policy);
            if let Some(envelope) = &envelope {
                page += &format!("\nenvelope: {envelope}");
            }
            page
        }
    };
    let exit = match envelope {
        Some(envelope) if envelope.lets_pass() => Exit::Ok,
        Some(_) | None => Exit::No,
    };
    Ok(say(&text, exit))
}

fn listener<'a>(args: &Args, config: &'a Config) -> Result<&'a ListenerSettings, Exit> {
    let listeners = &config.router.listeners;
    let names = || {
        let names: Vec<_> = listeners.iter().map(|listener| &*listener.name).collect();
        names.join(", ")
    };
    let found = match (&args.listener, listeners.as_slice()) {
        (None, [only]) => Some(only),
        (None, _) => {
            let problem = "there are several listeners; name one with --listener";
            return Err(misused(format!("{problem}: {}", names())));
        }
        (Some(name), all) => all.iter().find(|listener| *listener.name == **name),
    };
    found.ok_or_else(|| {
        let name = args.listener.as_deref().unwrap_or_default();
        misused(format!("no listener is called {name}; known: {}", names()))
    })
}

fn routed<'a>(args: &Args, listener: &'a ListenerSettings) -> Result<Routed<'a>, Exit> {
    listener.route_of(&args.path).map_err(|why| {
        let reason = cellway_core::Reason::AmbiguousRequest;
        let text = format!("deny 400 {reason}: {why}, and the listener's routes go by it");
        say(&text, Exit::No)
    })
}

/// The value of `Authorization`. `None` if there is no token.
async fn bearer(env: &TokioEnv, args: &Args) -> Result<Option<HeaderValue>, Exit> {
    match &args.token_file {
        Some(path) => {
            let token = text(env, path).await?;
            of_file(path, &format!("{BEARER}{token}")).map(Some)
        }
        None => {
            let token = args.token.as_ref().map(|token| format!("{BEARER}{token}"));
            of_option("--token", token.as_deref())
        }
    }
}

/// Reads a file with one line.
async fn text(env: &TokioEnv, path: &str) -> Result<String, Exit> {
    let read = env.store().read(path, TOKEN_BYTES_MAX, Privacy::Any).await;
    let read = read.map_err(|error| failed(format!("can't read {path}: {error}")))?;
    let text = String::from_utf8(read.into());
    let text = text.map_err(|_| failed(format!("{path} is not text")))?;
    Ok(text.trim().to_owned())
}

/// The value of a header that a file holds.
fn of_file(path: &str, value: &str) -> Result<HeaderValue, Exit> {
    let refused = |_| failed(format!("{path} {NO_HEADER}"));
    HeaderValue::from_str(value).map_err(refused)
}

/// The value of a header that an option gives.
fn of_option(option: &str, value: Option<&str>) -> Result<Option<HeaderValue>, Exit> {
    let refused = |_| misused(format!("{option} {NO_HEADER}"));
    value
        .map(HeaderValue::from_str)
        .transpose()
        .map_err(refused)
}

const BEARER: &str = "Bearer ";
const NO_DECISION: &str = "The TLS handshake would be refused; there is no decision.";
const NO_HEADER: &str = "has bytes that a header can't hold, such as a line break";

async fn peer(
    env: &TokioEnv,
    args: &Args,
    settings: &RouterSettings,
    listener: &ListenerSettings,
) -> Result<Option<PeerCertificate>, Exit> {
    let asked = listener.asks_for_certificate();
    let name = &listener.name;
    let Some(path) = &args.cert else {
        if asked == ClientCertificate::Required {
            let problem = "requires a client certificate; give it with --cert";
            complain(format_args!("listener {name} {problem}\n{NO_DECISION}"));
            return Err(Exit::No);
        }
        return Ok(None);
    };
    if !settings.trusts_clients() || asked == ClientCertificate::None {
        let problem = "doesn't ask clients for a certificate";
        let advice =
            "leave --cert out, or set trust.bundle and the listener's tls.client_certificate";
        return Err(misused(format!("listener {name} {problem}; {advice}")));
    }
    // A missing file must not be reported as a refused handshake.
    let there = env.store().stat(path).await;
    there.map_err(|error| failed(format!("can't read {path}: {error}")))?;
    let leaf = verified_leaf(
        env,
        &Provider::default(),
        settings,
        &Pem::File(path.clone()),
    )
    .await;
    let leaf = leaf.map_err(|error| {
        complain(format_args!("{error}\n{NO_DECISION}"));
        Exit::No
    })?;
    let peer = PeerCertificate::from_der(&leaf);
    peer.map(Some)
        .map_err(|error| failed(format!("{path}: {error}")))
}

async fn client(env: &TokioEnv, settings: &RouterSettings) -> Result<Client<TokioEnv>, Exit> {
    let fetch = &settings.sources.fetch;
    let tls = router_source_config(env, &Provider::default(), settings).await;
    let tls = tls.map_err(|error| failed(format!("fetch: {error}")))?;
    let tls = Arc::new(ArcSwap::from_pointee(tls));
    let reach = Arc::new(ArcSwap::from_pointee(fetch.reach()));
    Ok(Client::reaching(env.clone(), tls, reach))
}

fn json(
    (listener, routed): (&ListenerSettings, &Routed<'_>),
    explanation: &Explanation,
    envelope: Option<&Envelope>,
    token: Option<&str>,
    (sources, doubts): (&[String], &[Mismatch]),
) -> String {
    let warning = |doubt: &Mismatch| {
        serde_json::json!({
            "setting": doubt.setting,
            "problem": doubt.problem,
            "fix": doubt.fix,
        })
    };
    let traffic = match &listener.serves {
        Serves::Proxy => Some(&*routed.traffic.name),
        // Envoy forwards the request.
        Serves::ExtAuthz(_) => None,
    };
    let whole = serde_json::json!({
        "listener": &*listener.name,
        "route": routed.route.map(|path| path.as_str()),
        "traffic": traffic,
        "warnings": doubts.iter().map(warning).collect::<Vec<_>>(),
        "decision": explanation.decision,
        "steps": explanation.steps,
        "token": token,
        "envelope": envelope,
        "sources": sources,
    });
    serde_json::to_string_pretty(&whole).unwrap_or_default()
}

/// What is asked: the policy and the route.
fn heading(policy: &Policy, (listener, routed): (&ListenerSettings, &Routed<'_>)) -> String {
    let auth = policy.auth(routed.policy);
    let (name, mode) = (&auth.name, auth.mode.as_str());
    let applies = listener.describe(routed);
    format!("policy {name} ({mode})\nfor   {applies}\n")
}

fn body(
    explanation: &Explanation,
    (sources, doubts): (&[String], &[Mismatch]),
    token: Option<&str>,
    policy: &Policy,
    id: PolicyId,
) -> String {
    let mut page = String::new();
    for source in sources {
        page += &format!("from  {source}\n");
    }
    if let Some(token) = token {
        page += &format!("token {token}\n");
    }
    for Mismatch {
        setting,
        problem,
        fix,
        ..
    } in doubts
    {
        page += &format!("warn  {setting}: {problem}\n      {fix}\n");
    }
    page += &format!("\n{}\n", explanation.steps);
    page += &match &explanation.decision {
        Decision::Allow(allow) => {
            let placement = match &allow.placement {
                Some(placement) => format!("placement {placement}"),
                None => "its own cell".to_owned(),
            };
            let endpoints: Vec<_> = allow.endpoints().map(|e| e.url.as_str()).collect();
            let standby = match &allow.standby {
                Some(standby) => format!("\nif it can't be reached: {}", standby.describe()),
                None => String::new(),
            };
            format!(
                "allow {}: cell {} by {placement}, registry version {}\nendpoints: {}{standby}",
                allow.reason,
                allow.cell.id,
                allow.placement_epoch,
                endpoints.join(", ")
            )
        }
        Decision::Deny(deny) => {
            let status = deny.class.status().map_or(0, |status| status.as_u16());
            let wanted = token::wanted(deny.reason, policy, id);
            let wanted = wanted.map_or_else(String::new, |wanted| format!("; {wanted}"));
            format!("deny {status} {}: {}{wanted}", deny.reason, deny.detail)
        }
    };
    if sources.iter().any(|source| source.ends_with(NOT_ASKED)) {
        page += "\nSome sources were not asked, so the router may decide otherwise: run it without --offline.";
    }
    page
}
