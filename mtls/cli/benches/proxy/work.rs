//! The kinds of work that are measured.

use std::fmt;

use cellway_testbed::Protocol;

/// Where the router is asked, and what it wants to know of its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listener {
    /// Nothing, without TLS. The cell is plain HTTP/1.1.
    Plain,
    /// A client certificate. The cell is plain HTTP/1.1.
    Handshake,
    /// A client certificate. The cell speaks HTTP/2 with mutual TLS.
    Mutual,
    /// A token for one of 1,000 tenants. The cells speak HTTP/2 with mutual TLS.
    Token,
    /// A client certificate that names the tenant. The cell is plain HTTP/1.1.
    San,
}

impl Listener {
    /// All, in the order of the configuration.
    pub(crate) const ALL: [Self; 5] = [
        Self::Plain,
        Self::Handshake,
        Self::Mutual,
        Self::Token,
        Self::San,
    ];

    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Handshake => "handshake",
            Self::Mutual => "mutual",
            Self::Token => "token",
            Self::San => "san",
        }
    }

    pub(crate) fn has_tls(self) -> bool {
        self != Self::Plain
    }
}

/// One kind of work. `benches/README.md` explains the names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) describe: &'static str,
    pub(crate) listener: Listener,
    pub(crate) protocol: Protocol,
    /// Whether each request has a connection of its own, with a full handshake.
    pub(crate) reconnects: bool,
    /// Whether clients exchange keys with X25519MLKEM768, and not with X25519.
    pub(crate) post_quantum: bool,
}

impl Work {
    /// All of it.
    pub(crate) const ALL: [Self; 7] = [
        Self::new("W1", "plain h1 to plain h1", Listener::Plain),
        Self::new("W3", "mTLS h1 to mTLS h2", Listener::Mutual),
        Self::new(
            "W4-mtls",
            "mTLS h1, RS256 of 1,000 tenants, to mTLS h2",
            Listener::Token,
        ),
        Self {
            protocol: Protocol::Http2,
            ..Self::new(
                "W5-mtls",
                "mTLS h2, RS256 of 1,000 tenants, to mTLS h2",
                Listener::Token,
            )
        },
        Self::new(
            "W6",
            "mTLS h1, tenant from the URI SAN, to plain h1",
            Listener::San,
        ),
        Self {
            reconnects: true,
            ..Self::new(
                "W7",
                "a full mTLS handshake each, to plain h1",
                Listener::Handshake,
            )
        },
        Self {
            reconnects: true,
            post_quantum: true,
            ..Self::new("W7-pq", "the same with X25519MLKEM768", Listener::Handshake)
        },
    ];

    const fn new(name: &'static str, describe: &'static str, listener: Listener) -> Self {
        Self {
            name,
            describe,
            listener,
            protocol: Protocol::Http1,
            reconnects: false,
            post_quantum: false,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<46}", self.name, self.describe)
    }
}
