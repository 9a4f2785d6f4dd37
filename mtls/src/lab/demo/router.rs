//! The demo's router: the real one, from the file that the demo wrote.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::{Mono, Snapshot};
use tokio::time::timeout;

use super::DemoError;
use super::folder::Folder;
use crate::admin::{Admin, Subject};
use crate::config::Config;
use crate::env::{Env, Privacy, Store};
use crate::event::Sink;
use crate::lab::TlsProvider;
use crate::log::{Log, LogWriter};
use crate::metrics::{Counting, Metrics};
use crate::{Handle, Router};

/// The longest that the router may take to fetch keys and registry.
const READY_MAX: Duration = Duration::from_secs(10);

/// A router that serves.
pub(super) type Running<E> = Handle<E, (Log, Counting)>;

/// Starts the router and its admin listener from `cellway.toml`, logging to `lines`, and waits until
/// it is ready.
pub(super) async fn start<E: Env>(
    env: &E,
    provider: &TlsProvider,
    folder: &Folder<E>,
    lines: LogWriter,
) -> Result<Running<E>, DemoError> {
    let config = load(env, folder).await?;
    let metrics = Metrics::new().with_log(lines.lost());
    let sink = (Log::new(config.log.level, lines), metrics.sink());
    let TlsProvider { crypto, time } = provider.clone();
    let handle = Router::builder(env.clone(), config.router, crypto, time, sink)
        .start()
        .await
        .map_err(|why| DemoError::Router(why.to_string()))?;
    if let Some(address) = config.admin {
        let admin = Admin::bind(env.clone(), address).await?;
        let subject = Watched(handle.clone());
        env.spawn(async move {
            admin.serve(subject, metrics).await;
        });
    }
    timeout(READY_MAX, handle.ready())
        .await
        .map_err(|_| DemoError::Router("it isn't ready".to_owned()))?;
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

/// What the admin listener shows.
struct Watched<E: Env, S>(Handle<E, S>);

impl<E: Env, S: Sink> Subject for Watched<E, S> {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.shared().snapshot())
    }

    fn now(&self) -> Mono {
        self.0.clock().mono()
    }

    fn is_draining(&self) -> bool {
        self.0.is_draining()
    }
}
