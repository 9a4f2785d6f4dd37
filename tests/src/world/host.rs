//! A host of the network that can be down, and keeps its address meanwhile.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use cellway_env::Env;
use cellway_env::tokio::{TokioEnv, TokioListener};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

type Serving = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A port of loopback that nobody else gets. Nothing listens there: connections are refused.
pub struct Reserved {
    /// Bound, never listening, and willing to share.
    socket: TcpSocket,
    address: SocketAddr,
}

impl Reserved {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The host that `serve` makes there, down at first.
    pub fn host<F>(self, serve: impl Fn(TokioEnv, TokioListener) -> F + Send + 'static) -> Host
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Host {
            reserved: self,
            serve: Box::new(move |env, listener| Box::pin(serve(env, listener))),
            serving: None,
        }
    }
}

/// A host with an address of its own.
pub struct Host {
    reserved: Reserved,
    serve: Box<dyn Fn(TokioEnv, TokioListener) -> Serving + Send>,
    serving: Option<JoinHandle<()>>,
}

impl Host {
    /// Keeps a port for a host.
    pub fn reserve() -> Reserved {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.set_reuseport(true).expect("a port can be shared");
        let any = "127.0.0.1:0".parse().expect("an address");
        socket.bind(any).expect("a port is free");
        let address = socket.local_addr().expect("it is bound");
        Reserved { socket, address }
    }

    /// Where it is, up or down.
    pub fn address(&self) -> SocketAddr {
        self.reserved.address()
    }

    /// Begins to serve.
    #[allow(
        clippy::disallowed_methods,
        reason = "the task must be abortable, which Env::spawn doesn't offer"
    )]
    pub async fn start(&mut self) {
        let env = TokioEnv::new();
        let listener = env.bind(self.address(), true).await;
        let serving = (self.serve)(env, listener.expect("the port is reserved"));
        self.serving = Some(tokio::spawn(async move {
            let _ = serving.await;
        }));
    }

    /// Goes down: connections are refused when this returns.
    pub async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // It is gone, and its listener with it, once this ends.
            let _ = serving.await;
        }
        debug_assert!(self.reserved.socket.local_addr().is_ok());
    }
}
