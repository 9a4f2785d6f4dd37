use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::tests::run_cell;
use crate::{EchoCell, Report, ServerTls, Unserved};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until a client's connection may have this many streams.
async fn until_allowed(connection: &mut h2::client::Connection<TcpStream>, streams: usize) {
    let allowed = poll_fn(|cx| {
        let polled = Pin::new(&mut *connection).poll(cx);
        assert!(polled.is_pending(), "{polled:?}");
        match connection.max_concurrent_send_streams() == streams {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    });
    let allowed = tokio::time::timeout(PATIENCE, allowed).await;
    allowed.expect("the cell says it");
}

/// Catches: a cell that says a new limit only on connections that have something to carry, and a connection
/// that ends because of it.
#[tokio::test]
async fn a_cell_limits_the_streams_of_open_connections() {
    let (tell, mut refused) = unbounded_channel();
    let cell = EchoCell::new("a", move |report| {
        if let Report::Unserved(_, how) = report {
            tell.send(how).unwrap();
        }
    });
    cell.allow_streams(Some(1));
    let port = run_cell(&cell, ServerTls::plain_h2()).await;
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut client, mut connection) = h2::client::handshake(stream).await.unwrap();
    // Both are sent before the cell says how many it allows.
    let mut answers = [(); 2].map(|()| {
        let request = http::Request::get("http://a/").body(()).unwrap();
        client.send_request(request, true).unwrap().0
    });
    until_allowed(&mut connection, 1).await;
    cell.allow_streams(Some(3));
    until_allowed(&mut connection, 3).await;
    cell.allow_streams(None);
    until_allowed(&mut connection, 200).await;
    let [served, beyond] = &mut answers;
    let both = async { tokio::join!(served, beyond) };
    let (served, beyond) = tokio::select! {
        both = both => both,
        ended = connection => panic!("{ended:?}"),
    };
    assert_eq!(served.unwrap().status(), StatusCode::OK);
    let reason = beyond.unwrap_err().reason();
    assert_eq!(reason, Some(h2::Reason::REFUSED_STREAM));
    let excess = Excess {
        allowed: 1,
        known: false,
    };
    assert_eq!(refused.recv().await, Some(Unserved::TooManyStreams(excess)));
}
