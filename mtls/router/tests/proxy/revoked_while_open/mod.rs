//! Open connections while time passes: lists become stale, certificates expire, CAs are removed.
//! The test sets the wall clock, so nothing here waits.

mod streams;

use std::sync::Arc;
use std::time::Duration;

use cellway_core::Unix;
use cellway_env::tokio::TokioEnv;
use cellway_router::settings::{Pem, RouterSettings};
use cellway_router::{Handle, Router};
use cellway_testbed::{
    Ca, Client, Credential, Key, Protocol, Request, ServerTls, Target, Validity, bundle_pem,
};
use http::StatusCode;
use rustls::ClientConfig;
use rustls::HandshakeKind;
use rustls::client::{Resumption, Tls12Resumption};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::cells::played;
use crate::stepped_clock::Stepped;
use crate::suspension::soon;
use crate::world::{
    DAY, EventLog, PATIENCE, ca, cell, dns, issue, issue_numbered, now, plain_endpoint, provider,
    reason, registry, secure, uri,
};

const ACME: &str = "spiffe://corp.example/tenant/acme";

/// A router whose wall clock the test sets.
struct Aged {
    env: Stepped,
    handle: Handle<Stepped, EventLog>,
    events: EventLog,
    settings: RouterSettings,
}

async fn start(settings: RouterSettings) -> Aged {
    let (env, events) = (Stepped::new(now().as_secs()), EventLog::default());
    let (crypto, time) = (provider().crypto, Arc::new(env.clone()));
    let router = Router::builder(env.clone(), settings.clone(), crypto, time, events.clone());
    let handle = router.start().await.unwrap();
    soon(handle.ready()).await;
    Aged {
        env,
        handle,
        events,
        settings,
    }
}

async fn behind(clients: &Ca) -> Aged {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let endpoints = plain_endpoint("http", port);
    start(secure(registry(endpoints), clients, &ca(2))).await
}

impl Aged {
    fn port(&self) -> u16 {
        self.handle.addresses()[0].1.port()
    }

    fn client(&self, protocol: Protocol, trusted: &Ca, shown: &Credential) -> Client<TokioEnv> {
        let roots = Ca::roots(&[trusted]).unwrap();
        let tls = provider().client(roots, Some(shown), protocol).unwrap();
        let target = Target {
            host: "localhost".to_owned(),
            port: self.port(),
            tls: Some(tls),
            protocol,
        };
        Client::new(TokioEnv::new(), target, PATIENCE)
    }

    async fn apply(&self, change: impl FnOnce(&mut RouterSettings)) {
        let mut settings = self.settings.clone();
        change(&mut settings);
        self.handle.apply(settings).await.unwrap();
    }
}

/// A list whose next update is due after `secs`.
fn list(ca: &Ca, serials: &[u64], from: Unix, secs: u64) -> Pem {
    let validity = Validity {
        from: Unix::from_epoch(from.since_epoch() - DAY),
        until: from.after(Duration::from_secs(secs)),
    };
    ca.revoke(serials, validity).unwrap().into()
}

#[tokio::test]
async fn a_stale_list_refuses_requests_on_open_connections_until_the_next_list() {
    let clients = ca(1);
    let shown = issue_numbered(&clients, uri(ACME), now().after(DAY), 8);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let world = behind(&clients).await;
        let begun = world.env.now();
        let lists = vec![list(&clients, &[], begun, 100)];
        world
            .apply(|settings| settings.revocation.lists = lists)
            .await;
        let client = world.client(protocol, &clients, &shown);
        let mut standing = client.connect().await.unwrap();
        let mut send = async || standing.send(Request::get("/")).await.unwrap();
        assert_eq!(send().await.status, StatusCode::OK);
        world.env.step(99);
        assert_eq!(send().await.status, StatusCode::OK);

        world.env.step(1);
        for _ in 0..2 {
            let answer = send().await;
            assert_eq!(reason(&answer), "revocation_unknown");
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        client.send(Request::get("/")).await.unwrap_err();
        world.events.line("tls refused revocation_unknown").await;

        let next = vec![list(&clients, &[7], world.env.now(), 100)];
        world
            .apply(|settings| settings.revocation.lists = next)
            .await;
        assert_eq!(send().await.status, StatusCode::OK);
        let last = vec![list(&clients, &[8], world.env.now(), 100)];
        world
            .apply(|settings| settings.revocation.lists = last)
            .await;
        assert_eq!(reason(&send().await), "certificate_revoked");
    }
}

/// A leaf under an intermediate CA that expires before it, after `secs`.
fn outliving(root_seed: u8, secs: u64) -> Credential {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    let key = |seed: u8| {
        let der = Key::from_seed([seed; 32]).der();
        KeyPair::try_from(der.secret_der()).unwrap()
    };
    let authority = |name: &str, until: Unix| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + until.since_epoch();
        params
    };
    let name = format!("deep {root_seed}");
    let far = now().after(2 * DAY);
    let root = CertifiedIssuer::self_signed(authority(&name, far), key(root_seed)).unwrap();
    let end = now().after(Duration::from_secs(secs));
    let between = CertifiedIssuer::signed_by(authority("between", end), key(50), &root).unwrap();
    let mut leaf = authority("leaf", far);
    leaf.is_ca = IsCa::ExplicitNoCa;
    leaf.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    leaf.subject_alt_names = vec![rcgen::SanType::URI(ACME.try_into().unwrap())];
    let leaf = leaf.signed_by(&key(99), &between).unwrap();
    let mut shown = issue(&ca(1), uri(ACME));
    shown.chain = vec![
        leaf.der().clone(),
        between.der().clone(),
        root.der().clone(),
    ];
    shown
}

#[tokio::test]
async fn a_connection_ends_with_the_first_certificate_of_its_chain() {
    let servers = ca(1);
    let world = behind(&servers).await;
    // This is shorter than the grace period before a connection's end, so the router announces the
    // end at once.
    let shown = outliving(60, 3);
    let bundle = pem(&shown.chain[2]);
    world
        .apply(|settings| settings.trust_bundle = Some(bundle))
        .await;
    let client = world.client(Protocol::Http2, &servers, &shown);
    let connection = client.connect().await.unwrap();
    world.events.line("closed certificate_expired").await;
    drop(connection);
}

#[tokio::test]
async fn no_request_passes_after_the_first_certificate_of_its_chain_has_ended() {
    let servers = ca(1);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let world = behind(&servers).await;
        let shown = outliving(61, 600);
        let bundle = pem(&shown.chain[2]);
        world
            .apply(|settings| settings.trust_bundle = Some(bundle))
            .await;
        let client = world.client(protocol, &servers, &shown);
        let mut standing = client.connect().await.unwrap();
        let mut send = async || standing.send(Request::get("/")).await;
        world.env.step(590);
        assert_eq!(send().await.unwrap().status, StatusCode::OK);
        world.env.step(20);
        // If the router looks at the idle connection first, it closes it.
        match send().await {
            Ok(answer) => {
                assert_eq!(reason(&answer), "certificate_expired");
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
            }
            Err(_) => world.events.line("closed certificate_expired").await,
        }
        client.send(Request::get("/")).await.unwrap_err();
        world.events.line("tls refused certificate_expired").await;
    }
}

fn pem(der: &[u8]) -> Pem {
    use base64::Engine;
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into()
}

/// A client that resumes sessions and sends early data whenever it may.
fn resuming(trusted: &Ca, shown: &Credential, tls12: bool) -> Arc<ClientConfig> {
    let versions: &[_] = match tls12 {
        true => &[&rustls::version::TLS12],
        false => &[&rustls::version::TLS13],
    };
    let mut config = ClientConfig::builder_with_provider(provider().crypto)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(Ca::roots(&[trusted]).unwrap())
        .with_client_auth_cert(shown.chain.clone(), shown.key.der())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption =
        Resumption::in_memory_sessions(16).tls12_resumption(Tls12Resumption::SessionIdOrTickets);
    config.enable_early_data = true;
    Arc::new(config)
}

/// A server with the same name that issues session tickets and accepts early data.
async fn generous(servers: &Ca) -> u16 {
    let own = issue(servers, dns("localhost"));
    let mut config = rustls::ServerConfig::builder_with_provider(provider().crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(own.chain.clone(), own.key.der())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_early_data_size = 1024;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    played(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.write_all(b"x").await;
                let _ = stream.flush().await;
                let _ = stream.read(&mut [0; 16]).await;
            }
        }
    })
    .await
}

/// The kind of handshake, whether early data was accepted, and the first bytes that came back.
type Resumed = (Option<HandshakeKind>, bool, String);

/// Connects, sends a request as early as the session allows, and waits for the answer.
async fn resume(config: &Arc<ClientConfig>, port: u16) -> Resumed {
    let config = config.clone();
    let asking = tokio::task::spawn_blocking(move || ask_early(config, port));
    soon(asking)
        .await
        .unwrap()
        .unwrap_or_else(|error| (None, false, error.to_string()))
}

fn ask_early(config: Arc<ClientConfig>, port: u16) -> std::io::Result<Resumed> {
    use std::io::{Error, Read, Write};
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let host = ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(config, host).map_err(Error::other)?;
    if let Some(mut early) = session.early_data() {
        let _ = early.write(REQUEST);
    }
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    let early = session.is_early_data_accepted();
    let mut said = [0; 64];
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    if !early {
        stream.write_all(REQUEST)?;
    }
    let read = stream.read(&mut said)?;
    let said = String::from_utf8_lossy(&said[..read]);
    let first = said.lines().next().unwrap_or_default().to_owned();
    Ok((session.handshake_kind(), early, first))
}

#[tokio::test]
async fn what_a_client_could_resume_gets_a_full_handshake_and_no_early_data() {
    let clients = ca(1);
    let shown = issue_numbered(
        &clients,
        uri(ACME),
        now().after(Duration::from_secs(600)),
        8,
    );
    let elsewhere = generous(&clients).await;
    for tls12 in [false, true] {
        let config = resuming(&clients, &shown, tls12);
        let world = behind(&clients).await;
        // This client can resume: it does so with a server that asks for no client certificate.
        resume(&config, elsewhere).await;
        let (kind, early, _) = resume(&config, elsewhere).await;
        assert_eq!(kind, Some(HandshakeKind::Resumed));
        assert_eq!(early, !tls12, "TLS 1.3 has early data");

        let good = (kind_full(), false, "HTTP/1.1 200 OK".to_owned());
        for _ in 0..3 {
            assert_eq!(
                resume(&config, world.port()).await,
                good,
                "TLS 1.2: {tls12}"
            );
        }
        let lists = vec![list(&clients, &[8], world.env.now(), 100)];
        world
            .apply(|settings| settings.revocation.lists = lists)
            .await;
        resume(&config, elsewhere).await;
        assert_ne!(resume(&config, world.port()).await.2, good.2);
        world.events.line("tls refused certificate_revoked").await;

        let other = bundle_pem(&[&ca(4)]);
        world
            .apply(|settings| settings.trust_bundle = Some(other.into()))
            .await;
        resume(&config, elsewhere).await;
        assert_ne!(resume(&config, world.port()).await.2, good.2);
        world.events.line("tls refused unknown_issuer").await;

        world.apply(|_| ()).await;
        assert_eq!(resume(&config, world.port()).await, good);
        world.env.step(601);
        resume(&config, elsewhere).await;
        assert_ne!(resume(&config, world.port()).await.2, good.2);
        world.events.line("tls refused certificate_expired").await;
    }
}

fn kind_full() -> Option<HandshakeKind> {
    Some(HandshakeKind::Full)
}

#[tokio::test]
async fn a_session_from_before_certificates_were_asked_for_isnt_resumed() {
    use cellway_router::settings::ClientCertificate;
    let clients = ca(1);
    let shown = issue(&clients, uri(ACME));
    for tls12 in [false, true] {
        let config = resuming(&clients, &shown, tls12);
        let world = behind(&clients).await;
        let ask = |settings: &mut RouterSettings, asked| {
            settings.listeners[0]
                .tls
                .as_mut()
                .unwrap()
                .client_certificate = asked;
        };
        world
            .apply(|settings| ask(settings, ClientCertificate::None))
            .await;
        resume(&config, world.port()).await;
        let (kind, early, first) = resume(&config, world.port()).await;
        assert_eq!(kind, Some(HandshakeKind::Resumed));
        assert!(!early && first.contains("401"), "{first}");
        world
            .apply(|settings| ask(settings, ClientCertificate::Required))
            .await;
        let (kind, early, first) = resume(&config, world.port()).await;
        assert_eq!((kind, early), (kind_full(), false));
        assert!(first.contains("200"), "{first}");
    }
}
