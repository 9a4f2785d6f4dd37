//! A cell of an older tenant router behind this one. It knows six headers and HMAC, and uses no
//! library.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;

use crate::serving::{Serving, WAIT_MAX};
use crate::{Folder, REGISTRY, run, sealing, token};

/// The names that the cell reads: algorithm, key, dates, payload, signature.
const NAMES: [&str; 6] = [
    "x-identity-alg",
    "x-identity-kid",
    "x-identity-iat",
    "x-identity-exp",
    "x-identity-payload",
    "x-identity-signature",
];

const RENAMED: &str = r#"
[headers.rename]
envelope-alg = "X-Identity-Alg"
envelope-kid = "X-Identity-Kid"
envelope-issued = "X-Identity-Iat"
envelope-expires = "X-Identity-Exp"
envelope-claims = "X-Identity-Payload"
envelope-signature = "X-Identity-Signature"
"#;

/// What a client sends to impersonate another caller.
const SPOOFED: &str = "X-Identity-Alg: none\r\nx_identity_payload: e30\r\nX-Identity.Kid: a-1\r\n\
                       X-Identity-Signature: x\r\nX-Identity-Signature: y\r\n\
                       x-cellway-envelope-claims: e30\r\n";

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A cell that keeps the head of each request.
fn cell() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, heads) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = tell.send(head(&mut stream));
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, heads)
}

/// Every value of every header whose name a framework could take for one of these.
fn values(head: &str, names: &[&str]) -> Vec<(String, String)> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let fold = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
    let fields = fields.map(|(name, value)| (fold(name), value.to_owned()));
    fields
        .filter(|(name, _)| names.contains(&&**name))
        .collect()
}

/// How the cell verifies a request before it trusts it.
fn verify(head: &str, secret: &[u8]) -> Value {
    let [alg, kid, issued, expires, payload, signature] = NAMES.map(|name| {
        let found = values(head, &[name]);
        assert_eq!(found.len(), 1, "{name} in {head}");
        found[0].1.clone()
    });
    assert_eq!(alg, "HS256");
    let mut line = head.lines().next().unwrap().split(' ');
    let (method, target) = (line.next().unwrap(), line.next().unwrap());
    let signed = format!(
        "cellway-envelope-compatible-v1\n{alg}\n{kid}\n{issued}\n{expires}\n{method}\n{target}\n{payload}"
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = BASE64.decode(signature).unwrap();
    hmac::verify(&key, signed.as_bytes(), &signature).expect("the signature holds");
    let secs = |text: &str| text.parse::<u64>().unwrap();
    assert!(secs(&expires) - secs(&issued) <= 60);
    let claims: Value = serde_json::from_slice(&BASE64.decode(payload).unwrap()).unwrap();
    assert_eq!(claims["aud"], "a", "it is for this cell");
    claims
}

/// Catches: a header that is missing, has another name or is the client's, and bytes under the
/// signature that aren't those of the page.
#[test]
fn a_cell_of_an_older_router_verifies_what_the_binary_seals() {
    let folder = Folder::new();
    let (address, heads) = cell();
    folder.write("registry.json", REGISTRY.replace("127.0.0.1:9", &address));
    folder.write("cellway.toml", &(sealing("compatible") + RENAMED));
    let config = folder.config();
    let new = [
        "envelope-key",
        "new",
        "-c",
        &config,
        "--cell",
        "a",
        "--kid",
        "a-1",
    ];
    assert_eq!(run(&new).0, 0);
    let (code, out, err) = run(&["check", "-c", &config]);
    assert_eq!(code, 0, "{out}{err}");
    let secret = std::fs::read_to_string(folder.root().join("sealing/a-1.key")).unwrap();
    let secret = BASE64.decode(secret.trim()).unwrap();

    let mut serving = Serving::start(&config);
    let public = serving.address("local");
    let mut client = TcpStream::connect(public).unwrap();
    let token = token("acme", false);
    let request = format!(
        "GET /orders?id=7 HTTP/1.1\r\nhost: shop.example\r\nauthorization: Bearer {token}\r\n{SPOOFED}\r\n"
    );
    client.write_all(request.as_bytes()).unwrap();
    let answer = head(&mut client);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let arrived = heads.recv_timeout(WAIT_MAX).expect("the cell is asked");
    assert!(
        arrived.starts_with("GET /orders?id=7 HTTP/1.1\r\n"),
        "{arrived}"
    );
    let claims = verify(&arrived, &secret);
    assert_eq!(
        (&claims["tenant"], &claims["sub"]),
        (&"acme".into(), &"alice".into())
    );
    let usual = [
        "alg",
        "kid",
        "cell",
        "issued",
        "expires",
        "claims",
        "signature",
    ];
    let usual = usual.map(|name| format!("x-cellway-envelope-{name}"));
    let usual = usual.each_ref().map(String::as_str);
    assert_eq!(values(&arrived, &usual), []);
}

/// Catches: a client's own headers that pass if the router makes no envelopes or uses another form.
#[test]
fn the_names_are_the_routers_whatever_seals() {
    let folder = Folder::new();
    let (address, heads) = cell();
    folder.write("registry.json", REGISTRY.replace("127.0.0.1:9", &address));
    folder.write("cellway.toml", &(crate::CONFIG.to_owned() + RENAMED));
    let mut serving = Serving::start(&folder.config());
    let public = serving.address("local");
    let mut client = TcpStream::connect(public).unwrap();
    let token = token("acme", false);
    let request = format!(
        "GET / HTTP/1.1\r\nhost: shop.example\r\nauthorization: Bearer {token}\r\n{SPOOFED}\r\n"
    );
    client.write_all(request.as_bytes()).unwrap();
    assert!(head(&mut client).starts_with("HTTP/1.1 200 "));
    let arrived = heads.recv_timeout(WAIT_MAX).expect("the cell is asked");
    assert_eq!(values(&arrived, &NAMES), [], "{arrived}");
}

/// Catches: names with two meanings, or that break HTTP, without an error.
#[test]
fn check_refuses_names_that_cannot_be_used() {
    let folder = Folder::new();
    for (name, said) in [
        (
            "X-Identity-Kid",
            "stands for both envelope-alg and envelope-kid",
        ),
        ("X-Routing-Key", "x-routing-key"),
        ("Host", "has a meaning of its own"),
        ("X-Forwarded-For", "has a meaning of its own"),
        ("X Identity", "is not a header name"),
    ] {
        let renamed = RENAMED.replace("X-Identity-Alg", name);
        folder.write("cellway.toml", &(sealing("compatible") + &renamed));
        let (code, _, err) = run(&["check", "-c", &folder.config()]);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("headers.rename"), "{err}");
        assert!(err.contains(said), "{err}");
    }
}
