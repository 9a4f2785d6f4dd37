//! The access log of the real binary, about requests over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::serving::Serving;
use crate::{CONFIG, Folder, token, under_load};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Sends a request on a connection of its own.
fn post(address: &str, body: &str, authorization: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "POST /orders?key=secret HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\
         cookie: secret\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n{authorization}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

/// The fields of a line that are the same in each run, without the times.
fn fixed(line: &Value) -> Value {
    let mut fields = line.as_object().unwrap().clone();
    let varies = ["ts", "peer", "request_id", "subject_hash", "bytes"];
    fields.retain(|name, _| !varies.contains(&&**name) && !name.ends_with("_us"));
    fields.into()
}

/// Catches: a setting of the file that the process ignores, a field that only the log's own tests
/// have, and a line with more of a request than its path.
#[test]
fn a_line_says_who_served_and_how_long_it_took() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_cell, at) = runtime.block_on(under_load::cell());
    let folder = Folder::new();
    folder.write("registry.json", under_load::registry(at));
    folder.write(
        "cellway.toml",
        format!("{CONFIG}\n[log.access]\nrequests = \"full\"\n"),
    );
    let mut serving = Serving::start(&folder.config());
    let admin = serving.address("admin");
    let public = serving.address("local");
    serving.ready(&admin);

    let token = token("acme", false);
    let bearer = format!("authorization: Bearer {token}\r\n");
    post(&public, "12345", &bearer);
    let line = serving.wait("request");
    let expected = json!({
        "level": "info", "event": "request", "listener": "local", "trace_id": TRACE,
        "method": "POST", "path": "/orders", "protocol": "HTTP/1.1", "policy": "default",
        "traffic": "default", "tenant": "acme",
        "status": 200, "owner": "cell", "cell": "a", "endpoint": format!("h2c://{at}"),
        "endpoint_protocol": "HTTP/2", "attempts": 1, "request_bytes": 5, "complete": true,
    });
    assert_eq!(fixed(&line), expected);
    assert!(line["bytes"].as_u64().unwrap() > 0, "{line}");
    let took = |name: &str| {
        line[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {line}"))
    };
    // In this order they follow each other.
    let parts = took("decide_us") + took("connect_us") + took("cell_us");
    assert!(parts <= took("first_byte_us"), "{line}");
    assert!(took("first_byte_us") <= took("total_us"), "{line}");
    let said = line.to_string();
    assert!(!said.contains("secret") && !said.contains(&token), "{said}");

    post(&public, "", "");
    let line = serving.wait("request");
    let expected = json!({
        "level": "info", "event": "request", "listener": "local", "trace_id": TRACE,
        "method": "POST", "path": "/orders", "protocol": "HTTP/1.1", "policy": "default",
        "traffic": "default", "status": 401, "owner": "router", "reason": "missing_token", "detail": "there is no bearer token",
        "attempts": 0, "request_bytes": 0,
        "complete": true,
    });
    assert_eq!(fixed(&line), expected);
}
