//! TCP load balancers: each connection begins with a PROXY header that names its client.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use cellway_env::{Env, Listener};
use tokio::io::{AsyncWriteExt, copy_bidirectional};

use super::hosts::any;
use super::router::PORT;
use crate::engine::{Engine, SimEnv, Stream};
use crate::scenario::{Balancer, HeaderVersion};

/// The address that a spoofing client claims, from a documentation range (RFC 5737).
const SPOOFED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66)), 40_000);

/// Adds a balancer. It accepts connections on the same port as routers.
pub(super) fn add(engine: &mut Engine, spec: &Balancer) {
    let (router, version) = (spec.router.clone(), spec.version);
    engine.host(&spec.name, move |env| {
        let router = router.clone();
        async move {
            let listener = env.bind(any(PORT), false).await;
            let mut listener = listener.expect("a fresh host's ports are free");
            // A listener of the engine fails only with its host.
            while let Ok((client, peer)) = listener.accept().await {
                let passing = pass(env.clone(), client, peer, router.clone(), version);
                env.spawn(passing);
            }
        }
    });
}

/// Passes one connection on until either side ends it.
async fn pass(
    env: SimEnv,
    mut client: Stream,
    peer: SocketAddr,
    router: String,
    version: HeaderVersion,
) {
    let Ok(mut onward) = env.connect(&router, PORT).await else {
        return;
    };
    if onward.write_all(&header(version, peer)).await.is_ok() {
        // Both ends notice errors themselves.
        let _ = copy_bidirectional(&mut client, &mut onward).await;
    }
}

/// The header that a spoofing client writes.
pub(super) fn spoofed_header() -> Vec<u8> {
    header(HeaderVersion::Two, SPOOFED)
}

/// A PROXY header for a TCP connection of this client's, by the protocol's specification
/// (haproxy.org, "The PROXY protocol", sections 2.1 and 2.2). The destination address doesn't
/// matter here.
fn header(version: HeaderVersion, client: SocketAddr) -> Vec<u8> {
    let IpAddr::V4(ip) = client.ip() else {
        unreachable!("the engine's hosts have IPv4 addresses");
    };
    match version {
        HeaderVersion::One => {
            format!("PROXY TCP4 {ip} {ip} {} {PORT}\r\n", client.port()).into_bytes()
        }
        HeaderVersion::Two => {
            let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
            // Version 2 and `PROXY`; TCP over IPv4; twelve bytes follow.
            header.extend([0x21, 0x11, 0, 12]);
            header.extend(ip.octets());
            header.extend(ip.octets());
            header.extend(client.port().to_be_bytes());
            header.extend(PORT.to_be_bytes());
            header
        }
    }
}
