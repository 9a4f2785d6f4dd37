//! A client's connections.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cellway_testbed::{
    Answer as Response, Client, ClientError, Connection, Protocol, Request, Target, Validity,
};

use crate::engine::SimEnv;
use crate::fact::Fact;
use crate::scenario::{self, Authority, ClientProtocol};
use crate::world::balancer;
use crate::world::router::PORT;
use crate::world::state::{WorldHandle, tls_provider, unix_at};

/// A client's idle connections to one router.
pub(super) struct Pool {
    env: SimEnv,
    world: WorldHandle,
    spec: scenario::Client,
    /// The router's host.
    pub(super) router: String,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    idle: Vec<Idle>,
    /// The generation of the authorities when the target was made; `None` before the first target.
    generation: Option<u64>,
    target: Option<Certified>,
}

/// An open connection that carries no request.
pub(super) struct Idle {
    connection: Connection,
    certificate: Certificate,
}

/// What the client knows about its certificate.
#[derive(Clone, Copy)]
struct Certificate {
    /// When it expires, since the Unix epoch. `None` if that is after the run.
    expires: Option<Duration>,
    /// The authority that issued it.
    authority: usize,
}

/// Where to connect, with a certificate or without.
#[derive(Clone)]
pub(super) struct Certified {
    target: Target,
    /// Since the start.
    issued: Duration,
    certificate: Certificate,
}

impl Pool {
    pub(super) fn new(
        env: &SimEnv,
        world: &WorldHandle,
        spec: &scenario::Client,
        router: &str,
    ) -> Self {
        Self {
            env: env.clone(),
            world: world.clone(),
            spec: spec.clone(),
            router: router.to_owned(),
            state: Mutex::default(),
        }
    }

    /// Sends over an idle connection or a new one. If the router closes an idle connection at that
    /// moment without reading the request, the request is sent once more.
    pub(super) async fn send(
        &self,
        tag: &str,
        request: Request,
        mut streamed: impl FnMut(),
    ) -> Result<Response, ClientError> {
        let (certified, idle) = self.checkout();
        if let Some(mut idle) = idle {
            self.presents(tag, idle.certificate);
            let sending = idle
                .connection
                .send_and_watch(request.clone(), &mut streamed);
            match sending.await {
                Ok(response) => {
                    self.checkin(idle);
                    return Ok(response);
                }
                Err(error) if error.is_unprocessed() => {}
                Err(error) => {
                    self.keep(idle);
                    return Err(error);
                }
            }
        }
        let certificate = certified.certificate;
        let mut connection = self.connect(tag, certified).await?;
        let sent = connection.send_and_watch(request, streamed).await;
        let idle = Idle {
            connection,
            certificate,
        };
        match &sent {
            Ok(_) => self.checkin(idle),
            Err(_) => self.keep(idle),
        }
        sent
    }

    /// Keeps a connection over which a request has failed, if the client itself broke the request off
    /// and only its stream has ended.
    fn keep(&self, idle: Idle) {
        if self.spec.breaks_off && self.spec.protocol == ClientProtocol::Http2 {
            self.checkin(idle);
        }
    }

    /// Opens a connection for the request with this tag.
    pub(super) async fn connect(
        &self,
        tag: &str,
        certified: Certified,
    ) -> Result<Connection, ClientError> {
        self.presents(tag, certified.certificate);
        let connection = self.client(certified.target).connect().await?;
        let connected = Fact::Connected {
            client: self.spec.name.clone(),
            to: self.router.clone(),
            leaf: connection.leaf().to_vec(),
        };
        self.world.tell(&self.env, &connected);
        Ok(connection)
    }

    fn client(&self, target: Target) -> Client<SimEnv> {
        let mut client = Client::new(self.env.clone(), target, self.spec.timeout);
        if let Some(balancer) = &self.spec.through {
            client = client.through(balancer);
        }
        if self.spec.spoofs {
            client = client.saying_first(balancer::spoofed_header());
        }
        client
    }

    /// Asks for a WebSocket with a length over a new connection.
    pub(super) async fn lie(
        &self,
        tag: &str,
        request: Request,
        length: u64,
    ) -> Result<Response, ClientError> {
        let (certified, idle) = self.checkout();
        if let Some(idle) = idle {
            self.checkin(idle);
        }
        self.presents(tag, certified.certificate);
        let client = self.client(certified.target);
        client.ask_with_length(request, length).await
    }

    fn presents(&self, tag: &str, certificate: Certificate) {
        if self.spec.certificate_path().is_some() {
            let fact = Fact::Presented {
                tag: tag.to_owned(),
                certificate_expires: certificate.expires,
                authority: certificate.authority,
            };
            self.world.tell(&self.env, &fact);
        }
    }

    /// The present target and an open connection, if there is one. New connections use a new
    /// certificate. If an authority has changed, all connections are opened anew.
    pub(super) fn checkout(&self) -> (Certified, Option<Idle>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.world.lock().pki.generation();
        let renews = self.spec.renews || state.target.is_none();
        if renews && state.generation != Some(generation) {
            *state = PoolState {
                idle: Vec::new(),
                generation: Some(generation),
                target: Some(self.certified()),
            };
        }
        let due = |issued| {
            let lifetime = self.spec.certificate_lifetime?;
            Some(issued + lifetime * 3 / 4)
        };
        let target = state.target.clone();
        let mut target = target.expect("a target is made with each generation");
        if renews && due(target.issued).is_some_and(|due| self.env.elapsed() >= due) {
            target = self.certified();
            state.target = Some(target.clone());
            // HTTP/1.1 can't announce the end of a connection, so its clients open a new one.
            if self.spec.protocol == ClientProtocol::Http1 {
                state.idle.clear();
            }
        }
        (target, state.idle.pop())
    }

    pub(super) fn checkin(&self, idle: Idle) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.idle.push(idle);
    }

    fn certified(&self) -> Certified {
        let protocol = match self.spec.protocol {
            ClientProtocol::Http1 => Protocol::Http1,
            ClientProtocol::Http2 => Protocol::Http2,
        };
        let issued = self.env.elapsed();
        let validity = self.spec.certificate_lifetime;
        let validity = validity.map(|lifetime| Validity::around(unix_at(issued), lifetime));
        let mut state = self.world.lock();
        let [authority, _] = state.pki.place(Authority::Clients);
        let certificate = self
            .spec
            .certificate_path()
            .map(|path| state.pki.client(&self.spec.name, &path, validity))
            .transpose();
        let tls = certificate.and_then(|certificate| {
            let roots = state.pki.roots(Authority::Servers)?;
            tls_provider(&self.env).client(roots, certificate.as_ref(), protocol)
        });
        let target = Target {
            host: self.router.clone(),
            port: PORT,
            tls: Some(tls.expect("the testbed's certificates are valid")),
            protocol,
        };
        Certified {
            target,
            issued,
            certificate: Certificate {
                // It is valid until the end of its last second.
                expires: validity.map(|v| Duration::from_secs(v.until.as_secs() + 1)),
                authority,
            },
        }
    }
}
