//! A router that passes its sockets to the next process, or gets them from a service manager.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::Command;

use serde_json::Value;

use crate::serving::{Serving, WAIT_MAX, get, until};
use crate::{CONFIG, Folder};

/// The next process, which isn't a child of the test. It is killed when the test ends.
pub(crate) struct Next(String);

impl Next {
    pub(crate) fn of(started: &Value) -> Self {
        Self(started["pid"].as_u64().unwrap().to_string())
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.0]).output();
        let _ = kill;
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        self.signal("-KILL");
    }
}

/// Both processes write to the same log.
fn upgrade(serving: &mut Serving) -> Next {
    serving.signal("-USR2");
    let next = Next::of(&serving.wait("upgrade_started"));
    serving.wait("handed_over");
    next
}

/// Catches: an address that is bound again instead of handed over, pages that the old process still
/// answers, and a process that can't be replaced twice.
#[test]
fn a_router_is_replaced_on_the_same_addresses() {
    let folder = Folder::new();
    let mut serving = Serving::start(&folder.config());
    let admin = serving.address("admin");
    let public = serving.address("local");
    serving.ready(&admin);
    let mut kept = TcpStream::connect(&public).unwrap();

    let next = upgrade(&mut serving);
    // The old process serves the connections that it has.
    kept.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    kept.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    serving.wait("drained");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));

    for _ in 0..20 {
        assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));
        assert!(get(&admin, "/readyz").starts_with("HTTP/1.1 200 "));
    }
    next.signal("-USR2");
    let last = Next::of(&serving.wait("upgrade_started"));
    serving.wait("drained");
    assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));
    // It has the sockets from another process, and closes them as if they were its own.
    let kept = TcpStream::connect(&public).unwrap();
    last.signal("-TERM");
    serving.wait("listeners_closed");
    until("the sockets are closed", || {
        TcpStream::connect(&public).is_err()
    });
    drop(kept);
    serving.wait("drained");
}

/// Catches: a process that stops before the next one serves.
#[test]
fn a_router_goes_on_if_the_next_one_does_not_serve() {
    let folder = Folder::new();
    let mut serving = Serving::start(&folder.config());
    let admin = serving.address("admin");
    let public = serving.address("local");
    serving.ready(&admin);

    folder.write("cellway.toml", CONFIG.replace("any_of", "anyof"));
    serving.signal("-USR2");
    let failed = serving.wait("upgrade_failed")["error"].to_string();
    assert!(failed.contains("exit status: 1"), "{failed}");
    assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));
    assert!(get(&admin, "/readyz").starts_with("HTTP/1.1 200 "));

    folder.write("cellway.toml", CONFIG);
    let _next = upgrade(&mut serving);
    serving.wait("drained");
    assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));
}

/// Catches: a socket of which no worker of the next process accepts, and a worker without a socket.
#[test]
fn the_next_process_may_have_another_number_of_workers() {
    let folder = Folder::new();
    let config = |workers: u16| format!("{CONFIG}\n[runtime]\nworkers = {workers}\n");
    folder.write("cellway.toml", config(5));
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellway"));
    command.args(["serve", "--config", &folder.config()]);
    let mut serving = Serving::run(command);
    let admin = serving.address("admin");
    let public = serving.address("local");
    serving.ready(&admin);
    let mut all = Vec::new();
    for workers in [2, 3] {
        folder.write("cellway.toml", config(workers));
        match all.last() {
            None => serving.signal("-USR2"),
            Some(next) => Next::signal(next, "-USR2"),
        }
        all.push(Next::of(&serving.wait("upgrade_started")));
        serving.wait("drained");
        // The system chooses one of five sockets.
        for _ in 0..60 {
            assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));
        }
    }
}

/// The test takes the place of the process that is replaced. It passes no sockets, so the next process
/// binds its own.
fn next_of_the_test(folder: &Folder) -> (UnixStream, Serving) {
    let (mut channel, theirs) = UnixStream::pair().unwrap();
    channel.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellway"));
    command.args(["serve", "--config", &folder.config(), "--take-over"]);
    command.stdin(std::os::fd::OwnedFd::from(theirs));
    let serving = Serving::run(command);
    channel.write_all(&[0]).unwrap();
    (channel, serving)
}

fn hear(mut channel: &UnixStream, words: &str) {
    let mut said = vec![0; words.len()];
    channel.read_exact(&mut said).unwrap();
    assert_eq!(String::from_utf8_lossy(&said), words);
}

/// Catches: a next process that accepts a connection and is killed, because the old one has not heard
/// yet that it serves.
#[test]
fn the_next_process_accepts_only_when_it_is_told_to() {
    let folder = Folder::new();
    let (channel, mut serving) = next_of_the_test(&folder);
    hear(&channel, "ready\n");
    serving.child.kill().unwrap();
    assert_eq!(serving.address_or_end("local"), None, "it listened");

    let (mut channel, mut serving) = next_of_the_test(&folder);
    hear(&channel, "ready\n");
    channel.write_all(b"go\n").unwrap();
    let public = serving.address("local");
    hear(&channel, "serves\n");
    assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));
    drop(channel);

    // If the old process is gone, nobody else serves.
    let (channel, mut serving) = next_of_the_test(&folder);
    hear(&channel, "ready\n");
    drop(channel);
    let public = serving.address("local");
    assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));
}

#[test]
fn take_over_is_only_for_a_process_that_a_router_started() {
    let folder = Folder::new();
    let output = Command::new(env!("CARGO_BIN_EXE_cellway"))
        .args(["serve", "--config", &folder.config(), "--take-over"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("SIGUSR2"), "{said}");
}

/// Starts a router as systemd does: with a socket as descriptor 3, and with a place to notify.
fn activated(folder: &Folder, listener: &TcpListener, name: &str, notify: &str) -> Serving {
    let config = folder.config();
    let program = env!("CARGO_BIN_EXE_cellway");
    // The shell puts the socket, its standard input, where systemd puts it.
    let script = format!(
        "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES={name} exec {program} serve \
         --config {config}"
    );
    let mut command = Command::new("sh");
    let socket = std::os::fd::OwnedFd::from(listener.try_clone().unwrap());
    command.args(["-c", &script]).stdin(socket);
    command.env("NOTIFY_SOCKET", notify);
    command.env("WATCHDOG_USEC", "60000");
    Serving::run(command)
}

fn manager(folder: &Folder) -> (UnixDatagram, String) {
    let path = folder.path("notify");
    let _ = fs::remove_file(&path);
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(WAIT_MAX)).unwrap();
    (manager, path)
}

/// Waits until the manager is told this.
fn told(manager: &UnixDatagram, expected: &str) {
    let mut buffer = [0; 4096];
    loop {
        let len = manager.recv(&mut buffer);
        let len = len.unwrap_or_else(|error| panic!("waiting for {expected}: {error}"));
        if String::from_utf8_lossy(&buffer[..len]).contains(expected) {
            return;
        }
    }
}

/// Catches: a restart that refuses connections though the service manager holds the socket.
#[test]
fn a_service_manager_passes_a_socket_and_is_told() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let public = listener.local_addr().unwrap().to_string();
    folder.write("cellway.toml", CONFIG.replacen("127.0.0.1:0", &public, 1));
    let (manager, notify) = manager(&folder);

    // It waits in the socket's queue until the router is there.
    let mut early = TcpStream::connect(&public).unwrap();
    early
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut serving = activated(&folder, &listener, "local", &notify);
    told(&manager, "READY=1");
    told(&manager, "WATCHDOG=1");
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    for _ in 0..20 {
        assert!(get(&public, "/").starts_with("HTTP/1.1 401 "));
    }

    serving.signal("-HUP");
    told(&manager, "RELOADING=1\nMONOTONIC_USEC=");
    told(&manager, "READY=1\nSTATUS=reloaded");
    folder.write("cellway.toml", "bad");
    serving.signal("-HUP");
    told(&manager, "RELOADING=1");
    told(&manager, "READY=1\nSTATUS=reload refused");

    serving.signal("-TERM");
    told(&manager, "STOPPING=1");
    serving.wait("drained");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    // The socket is the manager's. It is still open.
    TcpStream::connect(&public).unwrap();
}

/// Catches: an upgrade after which the service manager thinks that the service has ended.
#[test]
fn a_service_manager_is_told_which_process_is_the_service() {
    let folder = Folder::new();
    let (manager, notify) = manager(&folder);
    let mut serving = Serving::with(&folder.config(), &[("NOTIFY_SOCKET", &notify)]);
    told(&manager, "READY=1");
    let next = upgrade(&mut serving);
    // The next process says that it serves before the old one passes the service on.
    told(&manager, &format!("MAINPID={}", next.0));
    serving.wait("drained");
    next.signal("-TERM");
    told(&manager, "STOPPING=1");
}

#[test]
fn a_socket_that_no_listener_wants_is_refused() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_manager, notify) = manager(&folder);
    for (name, shown) in [
        ("other", "`other` (127.0.0.1:"),
        ("", "one without a name (127.0.0.1:"),
    ] {
        let mut serving = activated(&folder, &listener, name, &notify);
        let (code, said) = serving.end();
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(shown), "{said}");
        assert!(said.contains("FileDescriptorName="), "{said}");
    }
}
