//! The folder that the demo writes, with everything that a router and its callers need.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cellway_env::{Env, Store};
use cellway_testbed::Credential;

use super::DemoError;
use super::authorities::{Authorities, TRUST_DOMAIN};
use super::world::{AUDIENCE, World, random_hex};

/// The start of the configuration. The demo may overwrite a folder that has this file.
const MARK: &str = "# Written by `cellway demo`.";

/// A folder, written through the environment's store: private keys get mode 0600.
pub(super) struct Folder<E> {
    env: E,
    root: PathBuf,
    /// Whether to remove it when the demo ends.
    fleeting: bool,
    /// Locked until this file is closed.
    _lock: File,
}

impl<E> Drop for Folder<E> {
    fn drop(&mut self) {
        if self.fleeting {
            // A file that can't be removed is left to the system, like every temporary file.
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

impl<E: Env> Folder<E> {
    /// Opens the requested folder, or a new one among the system's temporary files, which is removed
    /// with this value.
    ///
    /// # Errors
    /// The folder can't be made, has files of somebody else, or is used by a running demo.
    pub(super) fn new(env: E, asked: Option<&Path>) -> io::Result<Self> {
        let root = match asked {
            Some(folder) => std::path::absolute(folder)?,
            None => std::env::temp_dir().join(format!("cellway-demo-{}", random_hex(&env))),
        };
        if !is_free(&root)? {
            return Err(io::Error::other(format!(
                "{} holds files that `cellway demo` did not write, and it would replace them; name a new \
                 or an empty folder with --dir",
                root.display()
            )));
        }
        let lock = locked(&root)?;
        // The last-known-good files of an earlier demo belong to another world, and the router
        // would warn about them.
        for kept in ["keys-demo.keep", "registry.keep"] {
            let _ = std::fs::remove_file(root.join("state").join(kept));
        }
        Ok(Self {
            env,
            root,
            fleeting: asked.is_none(),
            _lock: lock,
        })
    }

    /// The absolute path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes one file.
    pub(super) async fn write(&self, name: &str, content: &str) -> Result<(), DemoError> {
        let path = self.path(name);
        let failed = |why| DemoError::Write(path.clone(), why);
        let text = path
            .to_str()
            .ok_or_else(|| failed(io::Error::other("the path is not UTF-8")))?;
        let content = content.to_owned().into();
        self.env
            .store()
            .replace(text, content)
            .await
            .map_err(failed)
    }

    /// Writes a certificate with its key.
    pub(super) async fn write_credential(
        &self,
        name: &str,
        credential: &Credential,
    ) -> Result<(), DemoError> {
        self.write(&format!("{name}.pem"), credential.pem()).await?;
        let key = credential.key.pem()?;
        self.write(&format!("{name}.key"), &key).await
    }

    /// Writes all files that the configuration names.
    pub(super) async fn write_materials(&self, world: &World) -> Result<(), DemoError> {
        let Authorities {
            servers,
            clients,
            cells,
            ..
        } = &world.authorities;
        self.write("ca.pem", &servers.pem()).await?;
        self.write("clients-ca.pem", &clients.pem()).await?;
        self.write("cells-ca.pem", &cells.pem()).await?;
        let server = world.authorities.server("router", 12)?;
        self.write_credential("server", &server).await?;
        let router = world.authorities.router(13)?;
        self.write_credential("router", &router).await?;
        self.write("registry.token", &world.registry_token).await?;
        // This file is for people. The router asks the control plane.
        self.write("registry.json", &format!("{:#}\n", world.registry))
            .await
    }

    /// Writes the configuration.
    pub(super) async fn write_configuration(
        &self,
        world: &World,
        ports: Ports,
    ) -> Result<(), DemoError> {
        self.write("cellway.toml", &configuration(world, ports))
            .await
    }
}

/// Makes the folder if it is missing, and locks it.
fn locked(root: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    let folder = File::open(root)?;
    match folder.try_lock() {
        Ok(()) => Ok(folder),
        Err(TryLockError::WouldBlock) => Err(io::Error::other(format!(
            "a running demo uses {}; end it, or name another folder with --dir",
            root.display()
        ))),
        Err(TryLockError::Error(why)) => Err(why),
    }
}

/// Whether the demo may write there: the folder is missing, empty or an earlier demo's.
fn is_free(root: &Path) -> io::Result<bool> {
    let mut entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(why) => return Err(why),
    };
    if entries.next().is_none() {
        return Ok(true);
    }
    let configuration = std::fs::read(root.join("cellway.toml")).unwrap_or_default();
    Ok(configuration.starts_with(MARK.as_bytes()))
}

/// Where the router listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) public: u16,
    pub(super) admin: u16,
}

fn configuration(world: &World, Ports { public, admin }: Ports) -> String {
    let issuer = world.idp.issuer();
    let registry = &world.registry_url;
    format!(
        r#"{MARK} Paths are relative to this file.
#
# The cells, the identity provider and the control plane that it names run inside the demo, and end
# with it. `cellway demo --dir FOLDER` (without --exit) starts them again and writes this file anew. With
# --without-router it leaves the router to `cellway serve --config FOLDER/cellway.toml`.

[[listener]]
name = "public"
bind = "127.0.0.1:{public}"
policy = "default"
[listener.tls]
certificate = "server.pem"
key = "server.key"
client_certificate = "optional"

[[issuer]]                          # its keys are found by OIDC discovery
name = "demo"
issuer = "{issuer}"
audience = "{AUDIENCE}"
algorithms = ["RS256", "ES256", "EdDSA"]
claims = {{ tenant = "tenant_id", roles = "roles", tier = "tier" }}

[[policy]]
name = "default"
mode = "required"
any_of = ["jwt", "mtls"]

[trust]                             # client certificates
bundle = "clients-ca.pem"
trust_domains = ["{TRUST_DOMAIN}"]
san = ["spiffe://{{trust_domain}}/tenant/{{tenant}}/**"]

[registry]
url = "{registry}"
token_file = "registry.token"

[upstream]                          # router to cells, mutual TLS
bundle = "cells-ca.pem"
certificate = "router.pem"
key = "router.key"

[fetch]                             # router to identity provider and control plane
bundle = "ca.pem"

[state]                             # last-known-good
directory = "state"

[admin]
bind = "127.0.0.1:{admin}"

[log]                               # the demo's own router shows warnings only, beside its table
level = "info"
"#
    )
}

#[cfg(test)]
mod tests;
