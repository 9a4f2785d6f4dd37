//! Which router may listen on an address, and when it listens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;

use crate::serving::{Serving, WAIT_MAX, get};
use crate::{CONFIG, Folder, REGISTRY, run, sealing};

/// A free port.
fn free() -> String {
    let any = TcpListener::bind("127.0.0.1:0").unwrap();
    any.local_addr().unwrap().to_string()
}

/// A folder whose configuration listens on this address.
fn at(address: &str) -> Folder {
    let folder = Folder::new();
    folder.write("cellway.toml", CONFIG.replacen("127.0.0.1:0", address, 1));
    folder
}

#[test]
fn a_second_router_on_the_same_address_does_not_start() {
    let address = free();
    let folder = at(&address);
    for workers in ["1", "2"] {
        let workers = [("CELLWAY__RUNTIME__WORKERS", workers)];
        let mut first = Serving::with(&folder.config(), &workers);
        first.address("local");
        let mut second = Serving::with(&folder.config(), &workers);
        let (code, said) = second.end();
        assert_eq!(code, Some(3), "{said}");
        let expected =
            format!("listener local: address already in use: {address}; another process");
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("runtime.share_addresses = true"), "{said}");
        assert!(get(&address, "/").starts_with("HTTP/1.1 401 "));
    }
}

#[test]
fn of_two_routers_that_start_at_the_same_moment_one_runs() {
    for round in 0..4 {
        let folder = at(&free());
        let routers = [(); 2].map(|()| Serving::start(&folder.config()));
        let outcomes = routers.map(|mut router| {
            thread::spawn(move || {
                let listens = router.address_or_end("local").is_some();
                // Keep it running, so that the other router finds the address taken.
                (listens, router)
            })
        });
        let outcomes = outcomes.map(|outcome| outcome.join().unwrap());
        let listening = outcomes.iter().filter(|(listens, _)| *listens).count();
        assert_eq!(listening, 1, "round {round}");
        for (listens, mut router) in outcomes {
            if !listens {
                let (code, said) = router.end();
                assert_eq!(code, Some(3), "{said}");
                assert!(said.contains("address already in use"), "{said}");
            }
        }
    }
}

#[test]
fn an_admin_address_is_never_shared() {
    let admin = free();
    let folder = Folder::new();
    let variables = [
        ("CELLWAY__ADMIN__BIND", admin.as_str()),
        ("CELLWAY__RUNTIME__SHARE_ADDRESSES", "true"),
    ];
    let mut first = Serving::with(&folder.config(), &variables);
    first.address("admin");
    let (code, said) = Serving::with(&folder.config(), &variables).end();
    assert_eq!(code, Some(3), "{said}");
    let expected = format!("admin.bind: address already in use: {admin}; another process");
    assert!(said.contains(&expected), "{said}");
}

/// The old router drains while the new one serves: no connection is refused.
#[test]
fn an_address_is_handed_over_if_both_routers_share_it() {
    let address = free();
    let folder = at(&address);
    let share = [("CELLWAY__RUNTIME__SHARE_ADDRESSES", "true")];
    let mut old = Serving::with(&folder.config(), &share);
    old.address("local");
    let (code, said) = Serving::start(&folder.config()).end();
    assert_eq!(
        code,
        Some(3),
        "a router that doesn't share the address is refused: {said}"
    );
    let mut new = Serving::with(&folder.config(), &share);
    new.address("local");
    new.address("local");
    old.signal("-TERM");
    old.wait("drained");
    assert_eq!(old.end().0, Some(0));
    for _ in 0..20 {
        assert!(get(&address, "/").starts_with("HTTP/1.1 401 "));
    }
}

/// A control plane that has accepted a request and not answered it yet.
struct Held {
    stream: TcpStream,
}

impl Held {
    fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        let mut request = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            request.read_line(&mut line).unwrap();
        }
        Self { stream }
    }

    fn answer(mut self) {
        let len = REGISTRY.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).unwrap();
        self.stream.write_all(REGISTRY.as_bytes()).unwrap();
        let _ = self.stream.read(&mut [0]);
    }
}

#[test]
fn listeners_open_with_the_first_registry() {
    let control_plane = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free();
    let folder = at(&address);
    let url = format!(
        "url = \"http://{}/cells\"",
        control_plane.local_addr().unwrap()
    );
    let config = CONFIG.replace("file = \"registry.json\"", &url);
    folder.write("cellway.toml", config.replacen("127.0.0.1:0", &address, 1));
    let mut serving = Serving::start(&folder.config());
    let admin = serving.address("admin");
    let asked = Held::accept(&control_plane);

    // Health answers, and says why the router can't serve yet.
    assert!(get(&admin, "/healthz").starts_with("HTTP/1.1 200 "));
    let ready = get(&admin, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    assert!(ready.contains("\"status\":\"starting\""), "{ready}");
    assert!(ready.contains("no registry is loaded"), "{ready}");
    let refused = TcpStream::connect(&address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    thread::spawn(|| asked.answer());
    serving.address("local");
    assert!(get(&address, "/").starts_with("HTTP/1.1 401 "));

    // Without a wait, the listeners open at once.
    let mut hasty = Serving::with(
        &folder.config(),
        &[
            ("CELLWAY__RUNTIME__OPEN_WAIT_SECS", "0"),
            ("CELLWAY__LISTENER__0__BIND", "127.0.0.1:0"),
        ],
    );
    hasty.address("local");
}

/// The health listener shows only its pages, not those of the admin listener.
#[test]
fn the_health_listener_serves_health_and_metrics_only() {
    let folder = Folder::new();
    folder.write("cellway.toml", sealing("jws"));
    let config = folder.config();
    assert_eq!(
        run(&["envelope-key", "new", "-c", &config, "--kid", "k1"]).0,
        0
    );
    let bind = [("CELLWAY__HEALTH__BIND", "0.0.0.0:0")];
    let mut serving = Serving::with(&config, &bind);
    let admin = serving.address("admin");
    let health = serving.address("health").replace("0.0.0.0", "127.0.0.1");
    serving.ready(&admin);
    for (path, status) in [
        ("/healthz", "200"),
        ("/readyz", "200"),
        ("/metrics", "200"),
        ("/", "404"),
        ("/debug/snapshot", "404"),
        ("/debug/endpoints", "404"),
        ("/.well-known/cellway/jwks.json", "404"),
    ] {
        let answer = get(&health, path);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
    }
    let keys = get(&admin, "/.well-known/cellway/jwks.json");
    assert!(keys.contains("\"kid\":\"k1\""), "{keys}");

    let mut stream = TcpStream::connect(&health).unwrap();
    stream
        .write_all(b"POST /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");

    one_address_has_a_share(&health);
}

/// Of all connections to the health listener one address may hold 8, so that it can't keep a kubelet
/// of another address out.
fn one_address_has_a_share(health: &str) {
    const SHARE: usize = 8;
    let connect = |_| TcpStream::connect(health).unwrap();
    let held: Vec<_> = (0..=SHARE).map(connect).collect();
    let (tell, told) = channel();
    for stream in &held {
        let (mut stream, tell) = (stream.try_clone().unwrap(), tell.clone());
        thread::spawn(move || tell.send(stream.read(&mut [0]).unwrap_or(0)));
    }
    // The router may not have noticed yet that earlier connections ended. Then it closes more than one.
    let first = told.recv_timeout(WAIT_MAX);
    assert_eq!(first, Ok(0), "one connection too many is closed at once");
    for mut stream in &held {
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    }
    let rest = (0..SHARE).map(|_| told.recv_timeout(WAIT_MAX).unwrap());
    let answered: usize = rest.sum();
    assert!(answered > 0, "connections within the share are kept");
}
