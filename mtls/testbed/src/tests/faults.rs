//! What cells with faults do.

use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use tokio::sync::mpsc::{self, Receiver};

use super::super::*;
use super::{BOTH, client, run_cell};

/// The client's result of each request on one connection, and the cell's reports about them.
async fn on_one_connection(protocol: Protocol, fault: CellFault, requests: usize) -> [String; 2] {
    let reports: Arc<Mutex<String>> = Arc::default();
    let sink = reports.clone();
    let cell = EchoCell::new("a", move |report| {
        let letter = match report {
            Report::Arrived(_) => 'a',
            Report::Ended(..) | Report::CallEnded(..) | Report::Left(_) => return,
            Report::Unserved(_, Unserved::StreamRefused) => 'd',
            Report::Unserved(_, Unserved::TooManyStreams(_)) => 'm',
            Report::Unserved(_, Unserved::AfterGoaway) => 'l',
            Report::Unserved(_, Unserved::StreamReset) => 's',
            Report::Unserved(_, Unserved::ConnectionClosed) => 'c',
        };
        sink.lock().unwrap().push(letter);
    });
    cell.set_fault(fault);
    let tls = match protocol {
        Protocol::Http1 => ServerTls::plain(),
        Protocol::Http2 => ServerTls::plain_h2(),
    };
    let port = run_cell(&cell, tls).await;
    let mut connection = client(port, None, protocol).connect().await.unwrap();
    let mut answers = String::new();
    for _ in 0..requests {
        answers.push(match connection.send(Request::get("/")).await {
            Ok(_) => 'o',
            Err(error) if error.is_unprocessed() => 'u',
            Err(_) => 'e',
        });
    }
    let reports = reports.lock().unwrap().clone();
    [answers, reports]
}

#[tokio::test]
async fn a_cell_refuses_requests_or_aborts_them() {
    let served = |n| ["o".repeat(n), "a".repeat(n)];
    for (protocol, fault, expected) in [
        (Protocol::Http2, CellFault::RefuseStreams, ["uu", "dd"]),
        (Protocol::Http2, CellFault::BreakOff, ["ee", "asas"]),
    ] {
        let seen = on_one_connection(protocol, fault, 2).await;
        assert_eq!(seen, expected, "{fault:?}");
    }
    let broken = on_one_connection(Protocol::Http1, CellFault::BreakOff, 1).await;
    assert_eq!(broken, ["e", "ac"]);
    // HTTP/1.1 has no streams, so it can't refuse one.
    let whole = on_one_connection(Protocol::Http1, CellFault::GoAway, 25).await;
    assert_eq!(whole, served(25));
    let [answers, reports] = on_one_connection(Protocol::Http2, CellFault::GoAway, 21).await;
    let [all, arrived] = served(20);
    assert_eq!([answers, reports], [all + "u", arrived + "l"]);
}

/// What a cell reports about a request with 9,000 bytes that is answered before they are read: what it has
/// reported when the answer is there, and what it reports next.
async fn answered_early(protocol: Protocol, reads: Reads) -> (Vec<String>, Receiver<String>) {
    let (reports, mut came) = mpsc::channel(8);
    let cell = EchoCell::new("a", move |report| {
        let report = match report {
            Report::Arrived(_) => "arrived".to_owned(),
            Report::Ended(_, ended) => format!("{} bytes", ended.body_bytes),
            Report::Left(_) => "left".to_owned(),
            Report::CallEnded(..) => "call ended".to_owned(),
            Report::Unserved(..) => "unserved".to_owned(),
        };
        reports.try_send(report).unwrap();
    });
    cell.set_fault(CellFault::AnswerEarly(reads));
    let tls = match protocol {
        Protocol::Http1 => ServerTls::plain(),
        Protocol::Http2 => ServerTls::plain_h2(),
    };
    let port = run_cell(&cell, tls).await;
    let mut request = Request::get("/upload");
    (request.method, request.body) = (Method::POST, vec![b'x'; 9_000].into());
    let mut connection = client(port, None, protocol).connect().await.unwrap();
    let answer = connection.send(request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let reported = std::iter::from_fn(|| came.try_recv().ok()).collect();
    (reported, came)
}

#[tokio::test]
async fn a_cell_answers_before_it_has_read_the_body() {
    for protocol in BOTH {
        let (unread, _) = answered_early(protocol, Reads::Never).await;
        assert_eq!(unread, ["arrived", "left"]);
        let (mut all, mut came) = answered_early(protocol, Reads::Slowly).await;
        while all.len() < 3 {
            all.push(came.recv().await.unwrap());
        }
        assert_eq!(all, ["arrived", "left", "9000 bytes"]);
    }
}
