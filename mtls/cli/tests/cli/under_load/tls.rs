//! The second listener of the router, which serves over TLS, and how clients reach it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_testbed::{
    Ca, CertificateSpec, Key, Protocol, San, Target, TlsProvider, Usage, Validity,
};

use crate::Folder;

/// To append to a configuration.
pub(super) const LISTENER: &str = r#"
[[listener]]
name = "tls"
bind = "127.0.0.1:0"
tls = { certificate = "server.pem", key = "server.key" }
"#;

/// Who signs the certificate of the listener.
pub(super) struct Authority(Ca);

impl Authority {
    /// Writes the listener's certificate to the folder.
    pub(super) fn new(folder: &Folder) -> Self {
        let validity = Validity::around(TokioEnv::new().unix_now(), Duration::from_secs(86_400));
        let ca = Ca::new("ca", &Key::from_seed([1; 32]), validity, 1).unwrap();
        let own = San::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let spec = CertificateSpec::new("server", own, Usage::Server, validity, 2);
        let credential = ca.issue(&spec, &Key::from_seed([2; 32])).unwrap();
        folder.write_credential("server", &credential);
        Self(ca)
    }

    /// The listener at this address, for a client that speaks this version.
    pub(super) fn target(&self, address: SocketAddr, protocol: Protocol) -> Target {
        let roots = Ca::roots(&[&self.0]).unwrap();
        let tls = TlsProvider::default().client(roots, None, protocol);
        Target {
            tls: Some(tls.unwrap()),
            ..plain(address, protocol)
        }
    }
}

/// A listener without TLS.
pub(super) fn plain(address: SocketAddr, protocol: Protocol) -> Target {
    Target {
        host: address.ip().to_string(),
        port: address.port(),
        tls: None,
        protocol,
    }
}
