//! Open connections whose listener changes at a reload, so that it would no longer accept them.

use std::net::SocketAddr;
use std::sync::Arc;

use cellway_env::tokio::TokioEnv;
use cellway_router::settings::{Callers, ClientCertificate, RouterSettings, Serves};
use cellway_testbed::{Ca, Client, Credential, Protocol, Request, ServerTls, Target};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use crate::cells::{played, receive};
use crate::frames::{Frames, Outcome, trailers_of};
use crate::suspension::soon;
use crate::world::{
    World, ca, cell, issue, open_policy, plain, plain_endpoint, provider, registry, secure,
    set_policy, start, uri,
};

/// How a client connects before the reload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Plain,
    /// Over TLS, without a client certificate.
    Tls,
    /// Over TLS, with a client certificate.
    Mtls,
}

/// A change of the listener, and the settings that it changes.
#[derive(Clone, Copy, Debug)]
struct Change {
    name: &'static str,
    form: Form,
    /// Whether requests in flight finish. They don't if their certificate is no longer trusted.
    finishes: bool,
    apply: fn(&mut RouterSettings, &RouterSettings),
}

/// Every change after which a listener doesn't accept connections that it accepted before.
const CHANGES: [Change; 6] = [
    Change {
        name: "to TLS",
        form: Form::Plain,
        finishes: true,
        apply: |settings, tls| settings.listeners[0].tls = tls.listeners[0].tls.clone(),
    },
    Change {
        name: "to plain",
        form: Form::Tls,
        finishes: true,
        apply: |settings, _| settings.listeners[0].tls = None,
    },
    Change {
        name: "to a required certificate",
        form: Form::Tls,
        finishes: true,
        apply: |settings, _| ask(settings, ClientCertificate::Required),
    },
    Change {
        name: "to no certificates",
        form: Form::Mtls,
        finishes: false,
        apply: |settings, _| ask(settings, ClientCertificate::None),
    },
    Change {
        name: "to ext_authz",
        form: Form::Plain,
        finishes: true,
        apply: |settings, _| settings.listeners[0].serves = Serves::ExtAuthz(Callers::Loopback),
    },
    Change {
        name: "to a PROXY header",
        form: Form::Plain,
        finishes: true,
        apply: |settings, _| {
            settings.listeners[0].proxy_protocol = vec!["127.0.0.1".parse().unwrap()];
        },
    },
];

fn ask(settings: &mut RouterSettings, asked: ClientCertificate) {
    let tls = settings.listeners[0].tls.as_mut().unwrap();
    tls.client_certificate = asked;
}

/// A router before a change.
struct Scene {
    world: World,
    settings: RouterSettings,
    clients: Ca,
    shown: Credential,
    form: Form,
}

async fn scene(form: Form, cell: u16) -> Scene {
    let clients = ca(1);
    let shown = issue(&clients, uri("spiffe://corp.example/tenant/acme"));
    let mut settings = with_tls(&clients, cell);
    if form == Form::Plain {
        settings.listeners[0].tls = None;
    }
    Scene {
        world: start(settings.clone()).await,
        settings,
        clients,
        shown,
        form,
    }
}

/// Settings whose policy lets everybody pass, so that only the listener can refuse.
fn with_tls(clients: &Ca, cell: u16) -> RouterSettings {
    let endpoints = registry(plain_endpoint("http", cell));
    let tls = secure(endpoints.clone(), clients, &ca(2));
    let mut settings = plain(endpoints);
    set_policy(&mut settings, open_policy());
    settings.listeners[0].tls = tls.listeners[0].tls.clone();
    settings.trust_bundle = tls.trust_bundle;
    settings
}

impl Scene {
    fn tls(&self, protocol: Protocol) -> Option<Arc<rustls::ClientConfig>> {
        let shown = match self.form {
            Form::Plain => return None,
            Form::Tls => None,
            Form::Mtls => Some(&self.shown),
        };
        let roots = Ca::roots(&[&self.clients]).unwrap();
        Some(provider().client(roots, shown, protocol).unwrap())
    }

    fn client(&self, protocol: Protocol) -> Client<TokioEnv> {
        let target = Target {
            host: "localhost".to_owned(),
            port: self.world.port,
            tls: self.tls(protocol),
            protocol,
        };
        Client::new(TokioEnv::new(), target, crate::world::PATIENCE)
    }

    /// A connection that a test writes byte by byte.
    async fn raw(&self, protocol: Protocol) -> Box<dyn Stream> {
        let address: SocketAddr = ([127, 0, 0, 1], self.world.port).into();
        let stream = TcpStream::connect(address).await.unwrap();
        match self.tls(protocol) {
            None => Box::new(stream),
            Some(tls) => {
                let name = "localhost".try_into().unwrap();
                Box::new(TlsConnector::from(tls).connect(name, stream).await.unwrap())
            }
        }
    }

    async fn change(&self, change: Change) {
        let mut settings = self.settings.clone();
        let tls = with_tls(&self.clients, 1);
        (change.apply)(&mut settings, &tls);
        self.world.handle.apply(settings).await.unwrap();
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A cell that answers each request when the test says so.
async fn gated() -> (u16, Arc<Semaphore>, Arc<Semaphore>) {
    let (arrived, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let shared = (arrived.clone(), gate.clone());
    let port = played(move |mut stream| {
        let (arrived, gate) = shared.clone();
        async move {
            while receive(&mut stream).await > 0 {
                arrived.add_permits(1);
                gate.acquire().await.unwrap().forget();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
                let _ = stream.write_all(answer).await;
            }
        }
    });
    (port.await, arrived, gate)
}

/// Catches: a connection that stays open in a form that its listener no longer accepts, and one that
/// is cut while a request is in flight.
#[tokio::test]
async fn connections_that_a_listener_would_no_longer_accept_end_in_order() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for change in CHANGES {
            let case = format!("{} {protocol:?}", change.name);
            let (cell, arrived, gate) = gated().await;
            let scene = scene(change.form, cell).await;
            let client = scene.client(protocol);
            let mut idle = client.connect().await.unwrap();
            gate.add_permits(1);
            assert_eq!(idle.send(Request::get("/")).await.unwrap().body, "hi");
            soon(arrived.acquire()).await.unwrap().forget();

            let mut busy = client.connect().await.unwrap();
            let asking = tokio::spawn(async move {
                let answer = busy.send(Request::get("/")).await;
                (answer, busy)
            });
            soon(arrived.acquire()).await.unwrap().forget();
            scene.change(change).await;
            scene.world.events.line("closed listener_changed").await;
            idle.send(Request::get("/")).await.unwrap_err();

            gate.add_permits(1);
            let (answer, mut busy) = asking.await.unwrap();
            let answer = answer.unwrap();
            assert_eq!(answer.status == StatusCode::OK, change.finishes, "{case}");
            if protocol == Protocol::Http1 && change.finishes {
                assert_eq!(answer.headers["connection"], "close", "{case}");
            }
            busy.send(Request::get("/")).await.unwrap_err();
            assert_eq!(arrived.available_permits(), 0, "{case}");
        }
    }
}

/// Catches: a request that is served because it comes before its connection has been told to close.
#[tokio::test]
async fn a_request_that_comes_after_the_change_is_not_served_by_the_old_form() {
    for change in CHANGES {
        let (cell, arrived, gate) = gated().await;
        let scene = scene(change.form, cell).await;
        let mut http1 = scene.raw(Protocol::Http1).await;
        http1.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut http2 = Frames::connect(scene.raw(Protocol::Http2).await).await;
        let request = trailers_of(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", "/"),
        ]);
        http2.fields(1, &request, true).await;
        soon(arrived.acquire()).await.unwrap().forget();

        scene.change(change).await;
        http2.fields(3, &request, true).await;
        let refused = soon(http2.outcome(3)).await;
        assert_ne!(refused, Outcome::Status(200), "{}", change.name);
        gate.add_permits(1);
        if change.finishes {
            let in_flight = soon(http2.outcome(1)).await;
            assert_eq!(in_flight, Outcome::Status(200), "{}", change.name);
        }

        gate.add_permits(1);
        let _ = http1.write_all(b"host: localhost\r\n\r\n").await;
        let mut said = Vec::new();
        let _ = soon(http1.read_to_end(&mut said)).await;
        let said = String::from_utf8_lossy(&said);
        let closes = said.contains("\r\nconnection: close\r\n");
        let refused = said.starts_with("HTTP/1.1 4") && closes;
        assert!(said.is_empty() || refused, "{}: {said}", change.name);
        assert_eq!(arrived.available_permits(), 0, "{}", change.name);
    }
}

/// A change of settings.
type Alter = fn(&mut RouterSettings);

/// Catches: a reload that ends connections that its listener still accepts.
#[tokio::test]
async fn connections_that_a_listener_still_accepts_stay_open() {
    let stays: [(Form, Alter); 4] = [
        (Form::Plain, |_| ()),
        (Form::Plain, |settings| {
            settings.listeners[0].streams_max += 1
        }),
        (Form::Mtls, |settings| {
            ask(settings, ClientCertificate::Required);
        }),
        (Form::Tls, |settings| ask(settings, ClientCertificate::None)),
    ];
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for (form, change) in stays {
            let scene = scene(form, port).await;
            let mut open = scene.client(protocol).connect().await.unwrap();
            let mut settings = scene.settings.clone();
            change(&mut settings);
            for _ in 0..2 {
                let answer = open.send(Request::get("/")).await.unwrap();
                assert_eq!(answer.status, StatusCode::OK, "{form:?} {protocol:?}");
                scene.world.handle.apply(settings.clone()).await.unwrap();
            }
        }
    }
}
