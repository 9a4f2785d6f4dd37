//! One client's connection, from the handshake to its end.

mod cork;
mod ending;
mod form;
mod http1;
mod http2;
mod io;
mod linger;
mod watch;

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cellway_core::Unix;
use cellway_core::cert::PeerCertificate;
use cellway_env::Env;
use http::{Request, Response};
use http_body::Body;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsStream};

use self::cork::Uncorking;
use self::ending::Ending;
use self::form::Form;
use self::http1::Http1;
use self::http2::Http2;
use self::io::ClientIo;
use crate::active_config::ActiveConfig;
use crate::data_plane::activity::Activity;
use crate::data_plane::admission::{self, Counted};
use crate::data_plane::client::Client;
use crate::data_plane::http2::{Blocks, Listening};
use crate::data_plane::incoming::Incoming;
use crate::data_plane::origin::{self, ForwardingFields, Origin};
use crate::data_plane::turns::Turns;
use crate::data_plane::well_formed::RequestRefused;
use crate::data_plane::worker_state::WorkerState;
use crate::observe::event::{Closed, Event, HandshakeError, Sink};
use crate::settings::{ClientTimeouts, ListenerSettings, Serves};
use crate::tls::ServerTls;
use crate::wire::Wire;

/// The first bytes of HTTP/2 with prior knowledge (RFC 9113, section 3.4).
/// A client that sends this line expects no HTTP/1.1 answer: if the rest of the preface is wrong,
/// the router closes the connection.
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The state that all requests of a connection share.
pub(crate) struct Connection<E: Env, S> {
    pub(crate) worker: Arc<WorkerState<E, S>>,
    pub(crate) listener: usize,
    pub(crate) name: Arc<str>,
    /// The number of the connection in this router.
    pub(crate) id: u64,
    /// Where the connection comes from.
    pub(crate) origin: Origin,
    pub(crate) client: Option<Arc<Client>>,
    form: Form,
    /// How long the TLS handshake took, until the first request takes the figure.
    pub(crate) handshake: Mutex<Option<Duration>>,
    pub(crate) forwarding: ForwardingFields,
    pub(crate) activity: Arc<Activity>,
    /// Tells the connection's tunnels when it is about to close.
    pub(crate) ending: Ending,
}

impl<E: Env, S> Connection<E, S> {
    /// Checks that the listener would still accept a connection of this form. A request that comes
    /// after a reload must not be served if it would not.
    ///
    /// # Errors
    /// The answer to the request.
    pub(crate) fn accepted(&self, config: &ActiveConfig) -> Result<(), Box<RequestRefused>> {
        self.form.check(config, self.listener)
    }
}

/// Makes a connection ready for HTTP: reads who the client is, and does the handshake.
///
/// # Errors
/// Why the connection ends before that. `None` if the TLS handshake failed, which is reported as a
/// separate event.
pub(crate) async fn open<E: Env, S: Sink>(
    worker: &Arc<WorkerState<E, S>>,
    listener: usize,
    name: &Arc<str>,
    stream: E::Stream,
    peer: SocketAddr,
    counted: &mut Counted,
) -> Result<Ready<E, S>, Option<Closed>> {
    let (settings, tls, epoch) = {
        let view = worker.views.load();
        let config = &view.config;
        let tls = config.server_tls[listener].clone();
        (config.listener(listener).clone(), tls, config.epoch)
    };
    let now = worker.reporter.now().unix;
    let form = Form::new(&settings, epoch, peer.ip());

    let opening = async {
        let mut stream = stream;
        let origin = origin::origin_of(&mut stream, peer, &settings).await;
        let origin = origin.map_err(Some)?;
        let from = origin.address;
        counted.is_from(&origin, &settings).map_err(|full| {
            let state = &worker.admission.listeners()[listener];
            admission::refused(&worker.reporter, state, name, from, full);
            Some(Closed::Refused)
        })?;
        let opened = match &tls {
            None => sniff(stream, &settings.timeouts).await.map_err(Some),
            Some(tls) => handshake(tls, epoch, now, stream, &settings.timeouts)
                .await
                .map_err(|reason| {
                    worker.reporter.emit(&Event::TlsRefused {
                        listener: name,
                        peer: from,
                        reason,
                    });
                    None
                }),
        };
        Ok::<_, Option<Closed>>((opened?, origin))
    };
    let (opened, origin) = tokio::select! {
        biased;
        opened = opening => opened?,
        // The client may have connected before the sockets closed, with its request on the way.
        () = worker.drain.waited_for_request() => return Err(Some(Closed::Drain)),
    };
    let at = (listener, name);
    Ok(Ready::new(worker, at, (origin, form), opened, settings))
}

/// A connection that is ready for HTTP, and the settings that it was opened under.
pub(crate) struct Ready<E: Env, S> {
    connection: Arc<Connection<E, S>>,
    io: ClientIo<E::Stream>,
    http2: bool,
    settings: ListenerSettings,
}

/// A connection after its handshake, if it has one.
struct Opened<S> {
    wire: Wire<S>,
    read_ahead: Bytes,
    http2: bool,
    client: Option<Client>,
    /// How long the handshake took.
    handshake: Option<Duration>,
}

async fn handshake<St: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    tls: &ServerTls,
    epoch: u64,
    now: Unix,
    stream: St,
    timeouts: &ClientTimeouts,
) -> Result<Opened<St>, HandshakeError> {
    let began = Instant::now();
    let accepting = TlsAcceptor::from(tls.config.clone()).accept(stream);
    let stream = match timeout(timeouts.handshake, accepting).await {
        Err(_) => return Err(HandshakeError::Timeout),
        Ok(Err(error)) => return Err((&error).into()),
        Ok(Ok(stream)) => stream,
    };
    let client = match stream.get_ref().1.peer_certificates() {
        None | Some([]) => None,
        Some(chain) => Some(verified_client(tls, epoch, now, chain)?),
    };
    let wire = Wire::Tls(Box::new(TlsStream::Server(stream)));
    Ok(Opened {
        http2: wire.alpn() == Some(b"h2"),
        wire,
        read_ahead: Bytes::new(),
        client,
        handshake: Some(began.elapsed()),
    })
}

/// The client that a verified chain proves.
fn verified_client(
    tls: &ServerTls,
    epoch: u64,
    now: Unix,
    chain: &[CertificateDer<'_>],
) -> Result<Client, HandshakeError> {
    const BAD: HandshakeError = HandshakeError::BadCertificate;
    let leaf = chain.first().ok_or(BAD)?;
    let certificate = PeerCertificate::from_der(leaf).map_err(|_| BAD)?;
    let clients = tls.clients.as_ref().ok_or(BAD)?;
    let chain: Vec<_> = chain.iter().map(|der| der.clone().into_owned()).collect();
    let ends = clients
        .ends(&certificate, &chain)
        .map_err(HandshakeError::from)?;
    let staling = clients.next_staling(now);
    Ok(Client::verified(
        certificate,
        chain,
        epoch,
        [now, ends],
        staling,
    ))
}

/// Reads only as many bytes as it needs to tell HTTP/2 from HTTP/1.1.
async fn sniff<St: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut stream: St,
    timeouts: &ClientTimeouts,
) -> Result<Opened<St>, Closed> {
    let mut ahead = BytesMut::with_capacity(8 * 1024);
    let reading = async {
        loop {
            match stream.read_buf(&mut ahead).await {
                Ok(0) => return Err(Closed::Client),
                Err(_) => return Err(Closed::Error),
                Ok(_) => {}
            }
            if ahead.len() >= PREFACE_LINE.len() || !PREFACE_LINE.starts_with(&ahead) {
                return Ok(ahead.starts_with(PREFACE_LINE));
            }
        }
    };
    let http2 = match timeout(timeouts.first_byte, reading).await {
        Err(_) => return Err(Closed::FirstByteTimeout),
        Ok(result) => result?,
    };
    Ok(Opened {
        wire: Wire::Plain(stream),
        read_ahead: ahead.freeze(),
        http2,
        client: None,
        handshake: None,
    })
}

impl<E: Env, S: Sink> Ready<E, S> {
    fn new(
        worker: &Arc<WorkerState<E, S>>,
        (listener, name): (usize, &Arc<str>),
        (origin, form): (Origin, Form),
        opened: Opened<E::Stream>,
        settings: ListenerSettings,
    ) -> Self {
        let is_tls = matches!(opened.wire, Wire::Tls(_));
        let activity = Arc::new(Activity::new(
            Instant::now(),
            opened.http2,
            settings.timeouts.read_rate_min,
        ));
        let leave = (E::leave as fn(&_, _), settings.timeouts.stall);
        let io = ClientIo::new(opened.wire, opened.read_ahead, activity.clone(), leave);
        let connection = Arc::new(Connection {
            worker: worker.clone(),
            listener,
            name: name.clone(),
            id: worker.holders.next_connection(),
            origin,
            form: form.with_certificate(opened.client.is_some()),
            client: opened.client.map(Arc::new),
            handshake: Mutex::new(opened.handshake),
            forwarding: ForwardingFields::new(origin.address, is_tls),
            activity,
            ending: Ending::default(),
        });
        Self {
            connection,
            io,
            http2: opened.http2,
            settings,
        }
    }

    /// What the connection's listener serves.
    pub(crate) fn serves(&self) -> &Serves {
        &self.settings.serves
    }

    /// Runs the connection to its end. `serve` answers its requests.
    pub(crate) async fn run<F, B>(
        self,
        serve: impl Fn(Arc<Connection<E, S>>, Request<Incoming>, Turns) -> F + Send + Unpin,
    ) -> Closed
    where
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        match self.http2 {
            true => self.run_http2(serve).await,
            false => self.run_http1(serve).await,
        }
    }

    fn run_http2<F, B>(
        self,
        serve: impl Fn(Arc<Connection<E, S>>, Request<Incoming>, Turns) -> F + Send + Unpin,
    ) -> impl Future<Output = Closed> + Send
    where
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let Self {
            connection,
            io,
            settings,
            ..
        } = self;
        let env = connection.worker.env.clone();
        let activity = connection.activity.clone();
        let answer = {
            let connection = connection.clone();
            move |request, turns| serve(connection.clone(), request, turns)
        };
        let io = Listening::new(io, Blocks::of_requests());
        let serve = |io| Http2::new(env, io, activity, &settings, answer);
        let serving = Uncorking::new(io, serve);
        async move { watch::run(serving, &connection, &settings.timeouts).await }
    }

    fn run_http1<F, B>(
        self,
        serve: impl Fn(Arc<Connection<E, S>>, Request<Incoming>, Turns) -> F + Send + Unpin,
    ) -> impl Future<Output = Closed> + Send
    where
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let Self {
            connection,
            io,
            settings,
            ..
        } = self;
        // A closure, not a named type, so that a request's future isn't boxed.
        let answer = {
            let connection = connection.clone();
            move |request| serve(connection.clone(), request, Turns::unwatched())
        };
        let activity = connection.activity.clone();
        let drain = connection.worker.drain.clone();
        let serving = Http1::new(io, activity, drain, answer);
        async move { watch::run(serving, &connection, &settings.timeouts).await }
    }
}
