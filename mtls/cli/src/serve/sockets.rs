//! Finds what the sockets from another process are for.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use cellway_router::config::Config;

/// The names of the router's own pages.
pub(super) const ADMIN: &str = "admin";
pub(super) const HEALTH: &str = "health";

/// A listening socket from another process.
#[derive(Debug)]
pub(super) struct Passed {
    /// The name that the other process gives it: a listener's name, [`ADMIN`], [`HEALTH`], or
    /// anything else.
    pub(super) name: String,
    pub(super) socket: TcpListener,
}

/// Sockets, by what they are for.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// Those of listeners, with the listener's name.
    pub(super) listeners: Vec<(Arc<str>, OwnedFd)>,
    pub(super) admin: Option<OwnedFd>,
    pub(super) health: Option<OwnedFd>,
    /// Name and address of those that the configuration has no use for. They are closed.
    pub(super) unused: Vec<String>,
}

impl Sockets {
    /// A socket belongs to the listener with its address. If that listener lets the system choose
    /// the port, the name must fit too.
    ///
    /// # Errors
    /// A socket has no address.
    pub(super) fn sort(passed: Vec<Passed>, config: &Config) -> io::Result<Self> {
        let mut this = Self::default();
        for Passed { name, socket } in passed {
            let address = socket.local_addr()?;
            let by_address = places(config).find(|place| place.bind == address);
            let by_name = || places(config).find(|it| it.name == name && it.takes(address));
            match by_address.or_else(by_name) {
                Some(Place {
                    own: None, name, ..
                }) => {
                    this.listeners.push((name.into(), socket.into()));
                }
                Some(Place {
                    own: Some(Own::Admin),
                    ..
                }) => this.admin = Some(socket.into()),
                Some(Place {
                    own: Some(Own::Health),
                    ..
                }) => this.health = Some(socket.into()),
                None if name.is_empty() => {
                    this.unused.push(format!("one without a name ({address})"))
                }
                None => this.unused.push(format!("`{name}` ({address})")),
            }
        }
        Ok(this)
    }
}

/// What the configuration listens on.
struct Place<'a> {
    name: &'a str,
    bind: SocketAddr,
    /// `None`: a listener.
    own: Option<Own>,
}

/// A listener of the router's own pages.
enum Own {
    Admin,
    Health,
}

impl Place<'_> {
    /// Whether a socket with this address serves here. Port 0 takes any.
    fn takes(&self, address: SocketAddr) -> bool {
        let port = self.bind.port();
        self.bind.ip() == address.ip() && (port == 0 || port == address.port())
    }
}

/// Listeners come first, because one of them may be called `admin`.
fn places(config: &Config) -> impl Iterator<Item = Place<'_>> {
    let listeners = config.router.listeners.iter().map(|listener| Place {
        name: &listener.name,
        bind: listener.bind,
        own: None,
    });
    let own = |name, bind: Option<SocketAddr>, own| {
        let own = Some(own);
        bind.map(|bind| Place { name, bind, own })
    };
    let admin = own(ADMIN, config.admin, Own::Admin);
    let health = own(HEALTH, config.health, Own::Health);
    listeners.chain(admin).chain(health)
}
