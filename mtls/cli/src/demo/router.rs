//! The demo's router: a real one, started from the file that the demo wrote.

use std::time::Duration;

use cellway_env::{Env, Privacy, Store};
use cellway_router::admin::{Admin, Audience};
use cellway_router::config::Config;
use cellway_router::log::{Log, LogWriter};
use cellway_router::metrics::{Counting, Metrics};
use cellway_router::settings::Level;
use cellway_router::{Handle, Router, StartError};
use cellway_testbed::TlsProvider;
use tokio::time::timeout;

use super::DemoError;
use super::folder::{Folder, Ports};
use super::world::{World, free_port};

/// The longest that the router may take to fetch keys and registry.
const READY_MAX: Duration = Duration::from_secs(10);

/// What the router logs, whatever the configuration says: its lines appear among the demo's own.
const LOG_LEVEL: Level = Level::Warn;

/// A running router.
pub(super) type Running<E> = Handle<E, (Log, Counting)>;

/// How often the router is started on other ports if somebody else took them meanwhile.
const TRIES_MAX: usize = 5;

/// Starts the router on the requested port, or otherwise on a free one.
pub(super) async fn start<E: Env>(
    env: &E,
    provider: &TlsProvider,
    folder: &Folder<E>,
    world: &World,
    asked: Option<u16>,
    lines: &LogWriter,
) -> Result<(Running<E>, Ports), DemoError> {
    let mut tries = 1;
    loop {
        let ports = ports(env, asked).await?;
        folder.write_configuration(world, ports).await?;
        match start_once(env, provider, folder, lines.clone()).await {
            Err(DemoError::Taken(taken))
                if tries < TRIES_MAX && asked != Some(taken.address.port()) =>
            {
                tries += 1;
            }
            outcome => return outcome.map(|router| (router, ports)),
        }
    }
}

/// The requested port, or free ones. The file needs them before the router binds them, so they
/// can't be reserved.
pub(super) async fn ports<E: Env>(env: &E, asked: Option<u16>) -> Result<Ports, DemoError> {
    let public = match asked {
        Some(port) => port,
        None => free_port(env).await?,
    };
    let admin = free_port(env).await?;
    Ok(Ports { public, admin })
}

/// Starts the router and its admin listener from `cellway.toml`, and waits until it is ready.
async fn start_once<E: Env>(
    env: &E,
    provider: &TlsProvider,
    folder: &Folder<E>,
    lines: LogWriter,
) -> Result<Running<E>, DemoError> {
    let config = load(env, folder).await?;
    let admin = match config.admin {
        None => None,
        Some(address) => {
            let bound = Admin::bind(env.clone(), address, Audience::Machine).await;
            Some(bound.map_err(DemoError::Taken)?)
        }
    };
    let metrics = Metrics::new().with_log(lines.lost());
    let sink = (Log::new(LOG_LEVEL, lines), metrics.sink());
    let TlsProvider { crypto, time } = provider.clone();
    let router = Router::builder(env.clone(), config.router, crypto, time, sink);
    let handle = router.start().await.map_err(|why| {
        if let StartError::Bind { error, .. } = why {
            DemoError::Taken(error)
        } else {
            DemoError::Router(why.to_string())
        }
    })?;
    if let Some(admin) = admin {
        let subject = handle.clone();
        env.spawn(async move {
            admin.serve(subject, metrics).await;
        });
    }
    let ready = timeout(READY_MAX, handle.ready()).await;
    ready.map_err(|_| DemoError::Router("it isn't ready".to_owned()))?;
    Ok(handle)
}

async fn load<E: Env>(env: &E, folder: &Folder<E>) -> Result<Config, DemoError> {
    let path = folder.path("cellway.toml");
    let file = path.display().to_string();
    let text = env.store().read(&file, Config::BYTES_MAX, Privacy::Any);
    let text = text.await?;
    Config::load(&file, &String::from_utf8_lossy(&text), [])
        .map_err(|errors| DemoError::Router(errors.to_string()))
}
