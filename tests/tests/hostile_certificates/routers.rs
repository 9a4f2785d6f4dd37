//! Routers that certificates are shown to, and the plain verifier beside them.

use std::sync::{Arc, Mutex};

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Answer, Ca, Client, ClientError, Protocol, Request};
use cellway_tests::world::{Running, World, boot, certificate, loopback, provider, to};
use http::header::WWW_AUTHENTICATE;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::make::Shown;
use crate::pki::Pki;
use crate::{Row, Setup};

/// Everything that a row needs.
pub(crate) struct Stand {
    pub world: World,
    routers: Vec<(Setup, Running)>,
    plain: TlsAcceptor,
    roots: RootCertStore,
}

/// What became of a row.
pub(crate) struct Outcome {
    /// The tenant that reached the cell, or why none did.
    pub router: Result<String, String>,
    /// The name that a plain verifier hands on.
    pub plain: Option<String>,
}

impl Stand {
    /// Starts one router for each setup.
    pub(crate) async fn new(world: World, pki: &Pki) -> Self {
        pki.write(&world.folder);
        let mut routers = Vec::new();
        for setup in Setup::ALL {
            let file = format!("{setup:?}.toml");
            let text = config(&world, setup);
            world.folder.write(&file, &text);
            let running = boot(&world.folder.path(&file)).await.unwrap();
            running.handle.ready().await;
            routers.push((setup, running));
        }
        let plain = plain(&world, pki);
        let roots = Ca::roots(&[&world.authorities.servers]).unwrap();
        Self {
            world,
            routers,
            plain,
            roots,
        }
    }

    /// Shows a row's certificate to its router and to the plain verifier.
    pub(crate) async fn show(&self, row: &Row) -> Outcome {
        Outcome {
            router: self.ask(row).await,
            plain: self.ask_plain(&row.shown).await,
        }
    }

    /// The router of this setup.
    pub(crate) fn router(&self, setup: Setup) -> &Running {
        &self.routers[setup as usize].1
    }

    /// A client of the router of this setup.
    pub(crate) fn client_of(&self, setup: Setup, shown: &Shown) -> Client<TokioEnv> {
        let tls = self.client(shown);
        let address = self.router(setup).address();
        to(address, Protocol::Http1, Some(tls))
    }

    async fn ask(&self, row: &Row) -> Result<String, String> {
        let router = self.router(row.setup);
        let client = self.client_of(row.setup, &row.shown);
        let refused = router.events.count("tls_refused");
        let answer = client.send(Request::get("/orders")).await;
        let seen = self.world.seen.since();
        let tenants = seen.iter().map(|(received, _)| {
            let mut headers = received.headers.iter();
            let tenant = headers.find(|(name, _)| name == "x-cellway-tenant");
            tenant.map(|(_, tenant)| tenant.clone())
        });
        let tenants: Vec<_> = tenants.collect();
        match (answer, &tenants[..]) {
            (Ok(answer), [Some(tenant)]) if answer.status == 200 => Ok(tenant.clone()),
            (Ok(answer), []) => Err(said(&answer)),
            // In TLS 1.3 the client is done before the server has looked at its certificate, so
            // the refusal meets whatever the client does next.
            (Err(ClientError::Tls(_) | ClientError::Http(_)), []) => {
                let line = router.events.after("tls_refused", refused).await;
                Err(format!("no TLS: {}", line["reason"].as_str().unwrap()))
            }
            (answer, tenants) => panic!("{}: {answer:?}, {tenants:?}", row.name),
        }
    }

    /// A whole handshake with a verifier that has the roots and nothing else, and the first URI
    /// name of what it took.
    async fn ask_plain(&self, shown: &Shown) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = self.plain.accept(stream).await.ok()?;
            let leaf = stream.get_ref().1.peer_certificates()?.first()?.clone();
            first_uri(&leaf)
        };
        let asking = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let connector = TlsConnector::from(self.client(shown));
            let host = ServerName::try_from("127.0.0.1").unwrap();
            if let Ok(mut stream) = connector.connect(host, stream).await {
                // Whatever ends it: only the server's view counts.
                let _ = stream.read(&mut [0]).await;
            }
        };
        tokio::join!(serving, asking).0
    }

    fn client(&self, shown: &Shown) -> Arc<ClientConfig> {
        let versions: &[_] = match shown.tls12 {
            true => &[&rustls::version::TLS12],
            false => &[&rustls::version::TLS13],
        };
        let mut config = ClientConfig::builder_with_provider(provider().crypto)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_client_cert_resolver(Arc::new(Shows::new(shown)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }
}

/// Shows a certificate whatever it is asked for: rustls's own client would look at it before.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>, Arc<Mutex<Vec<Vec<u8>>>>);

impl Shows {
    fn new(shown: &Shown) -> Self {
        let chain = shown.chain.iter().cloned().map(CertificateDer::from);
        let key = CertifiedKey::new(chain.collect(), shown.key.clone());
        Self(Arc::new(key), shown.hints.clone())
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.1.lock().unwrap() = hints.iter().map(|hint| hint.to_vec()).collect();
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A server as it is written in an afternoon: rustls's verifier, all roots.
fn plain(world: &World, pki: &Pki) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    for root in pki.roots().into_iter().chain([pki.own.root.clone()]) {
        roots.add(root.into()).unwrap();
    }
    let crypto = provider().crypto;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto.clone());
    let server = certificate(&world.authorities.servers, loopback());
    let config = ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(server.chain.clone(), server.key.der())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn first_uri(leaf: &CertificateDer<'_>) -> Option<String> {
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let parsed = leaf.extensions().iter().map(|e| e.parsed_extension());
    let names = parsed.filter_map(|parsed| match parsed {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    let mut names = names.flatten();
    names.find_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    })
}

/// Reason and description of a refusal.
fn said(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    let reason = cellway_tests::world::reason(answer);
    let challenge = answer.headers.get(WWW_AUTHENTICATE);
    let challenge = challenge.map_or("", |value| value.to_str().unwrap());
    let detail = challenge.split("error_description=\"").nth(1);
    let detail = detail.map_or("", |detail| detail.trim_end_matches('"'));
    format!("{status} {reason} {detail}").trim_end().to_owned()
}

/// A router's configuration for this setup.
pub(crate) fn config(world: &World, setup: Setup) -> String {
    let text = world.config();
    let (before, rest) = text.split_once("[trust]").unwrap();
    let (_, after) = rest.split_once("[registry]").unwrap();
    let text = format!("{before}[trust]\n{}\n[registry]{after}", setup.trust());
    text.replace("\"optional\"", "\"required\"")
        .replace("[\"jwt\", \"mtls\"]", "[\"mtls\"]")
        .replace("\"state\"", &format!("\"state-{setup:?}\""))
}
