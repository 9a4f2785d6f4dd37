//! Cells that a test plays itself, byte by byte or frame by frame. Each function returns the cell's
//! port.

use std::future::Future;
use std::sync::Arc;

use cellway_env::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::frames::{Came, Frames};
use crate::world::listen;

/// A cell that runs `serve` on each of its connections.
pub(crate) async fn played<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let (mut listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address.port()
}

/// An HTTP/2 cell that runs `serve` for each request that has ended, with the number of its stream.
/// `serve` gives the connection back, or ends it.
pub(crate) async fn http2<F>(
    serve: impl Fn(Frames<TcpStream>, u32) -> F + Clone + Send + Sync + 'static,
) -> u16
where
    F: Future<Output = Option<Frames<TcpStream>>> + Send + 'static,
{
    played(move |stream| {
        let serve = serve.clone();
        async move {
            let mut frames = Frames::greet(stream).await;
            while let Some(came) = frames.next().await {
                let Came::End(id) = came else { continue };
                match serve(frames, id).await {
                    Some(returned) => frames = returned,
                    None => return,
                }
            }
        }
    })
    .await
}

/// An HTTP/1.1 cell that answers everything with these bytes, on connections that it keeps open.
pub(crate) async fn says(answer: String) -> u16 {
    let answer: Arc<str> = answer.into();
    played(move |mut stream| {
        let answer = answer.clone();
        async move {
            while receive(&mut stream).await > 0 {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    })
    .await
}

/// A cell that answers the first bytes of each connection with these bytes, and then waits until
/// the connection closes.
pub(crate) async fn scripted(answer: &'static [u8]) -> u16 {
    played(move |mut stream| async move {
        receive(&mut stream).await;
        let _ = stream.write_all(answer).await;
        until_closed(&mut stream).await;
    })
    .await
}

/// A cell that takes requests and never answers. It notifies when a connection's first bytes
/// arrive.
pub(crate) async fn silent() -> (u16, Arc<Notify>) {
    let asked = Arc::new(Notify::new());
    let telling = asked.clone();
    let port = played(move |mut stream| {
        let asked = telling.clone();
        async move {
            receive(&mut stream).await;
            asked.notify_one();
            until_closed(&mut stream).await;
        }
    });
    (port.await, asked)
}

/// Reads what comes next, and keeps none of it. Returns how many bytes came; 0 at the end.
pub(crate) async fn receive(stream: &mut TcpStream) -> usize {
    stream.read(&mut [0; 4096]).await.unwrap_or(0)
}

/// Reads until the other side closes the connection.
pub(crate) async fn until_closed(stream: &mut TcpStream) {
    while receive(stream).await > 0 {}
}
