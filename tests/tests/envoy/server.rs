//! A running Envoy.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Client, Protocol, Request};
use cellway_tests::world::{Folder, to, until};
use rustls::ClientConfig;
use serde_json::Value;

const ADMIN: &str =
    "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }\n";

/// An Envoy, ended with this value.
pub(crate) struct Envoy {
    child: Child,
    public: SocketAddr,
    folder: Folder,
    log: String,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("what {} logged:\n{}", self.log, self.folder.read(&self.log));
        }
    }
}

/// The configuration of the documentation with what differs here. Each text to replace must stand
/// in it, so that the page stays true.
pub(crate) fn adapted(page: &str, changes: &[(&str, &str)]) -> String {
    let mut config = format!("{ADMIN}{page}");
    for (documented, here) in changes {
        assert!(config.contains(documented), "no longer there: {documented}");
        config = config.replace(documented, here);
    }
    config
}

impl Envoy {
    /// Starts it, and waits until it serves.
    pub(crate) async fn start(binary: &Path, folder: &Folder, name: &str, config: &str) -> Self {
        let file = |kind: &str| format!("{name}.{kind}");
        folder.write(&file("yaml"), config);
        let log = File::create(folder.path(&file("log"))).unwrap();
        let child = Command::new(binary)
            .args([
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--log-level",
                "warning",
            ])
            .args(["--config-path", &folder.path(&file("yaml"))])
            .args(["--admin-address-path", &folder.path(&file("admin"))])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        // From here on it is ended whatever happens.
        let mut envoy = Self {
            child,
            public: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder: folder.clone(),
            log: file("log"),
        };
        let admin = async || -> Option<Client<TokioEnv>> {
            let address = folder
                .has(&file("admin"))
                .then(|| folder.read(&file("admin")))?;
            Some(to(address.trim().parse().ok()?, Protocol::Http1, None))
        };
        let ask = async |path: &str| {
            let answer = admin().await?.send(Request::get(path)).await.ok()?;
            (answer.status == 200).then_some(answer.body)
        };
        until("Envoy serves", async || ask("/ready").await.is_some()).await;
        let listeners = ask("/listeners?format=json").await.unwrap();
        let listeners: Value = serde_json::from_slice(&listeners).unwrap();
        let public = &listeners["listener_statuses"][0]["local_address"]["socket_address"];
        let port = public["port_value"].as_u64().unwrap();
        envoy.public.set_port(u16::try_from(port).unwrap());
        envoy
    }

    /// A client of its listener.
    pub(crate) fn client(
        &self,
        protocol: Protocol,
        tls: Option<Arc<ClientConfig>>,
    ) -> Client<TokioEnv> {
        to(self.public, protocol, tls)
    }
}
