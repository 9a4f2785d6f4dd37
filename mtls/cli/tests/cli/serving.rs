//! A router in a process of its own, and plain requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A router in its own process, which is killed when the test ends.
pub(crate) struct Serving {
    pub(crate) child: Child,
    lines: Receiver<String>,
}

/// The longest that a test waits for something that may never happen.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// Checks a condition every few milliseconds until it holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    const PAUSE: Duration = Duration::from_millis(5);
    let deadline = Instant::now() + WAIT_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        thread::sleep(PAUSE);
    }
}

impl Serving {
    pub(crate) fn start(config: &str) -> Self {
        Self::with(config, &[])
    }

    /// Starts a router with environment variables that override settings of the file.
    pub(crate) fn with(config: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cellway"));
        command
            .args(["serve", "--config", config])
            .env("CELLWAY__RUNTIME__WORKERS", "2")
            .envs(variables.iter().copied());
        Self::run(command)
    }

    /// Starts a router with this command. Its log goes to standard output.
    pub(crate) fn run(mut command: Command) -> Self {
        // Long, so that only SIGHUP causes a reload unless a test says otherwise.
        const WATCH: &str = "CELLWAY__RUNTIME__WATCH_SECS";
        if command.get_envs().all(|(name, _)| name != WATCH) {
            command.env(WATCH, "3600");
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines_tx, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = lines_tx.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for the next line of this event.
    pub(crate) fn wait(&mut self, event: &str) -> Value {
        let found = self.next(|line| line["event"] == event);
        found.unwrap_or_else(|| panic!("the log ended before {event}"))
    }

    /// Waits until a worker listens on this listener, and returns its address. Other workers may not
    /// listen yet: see [`ready`](Self::ready).
    pub(crate) fn address(&mut self, listener: &str) -> String {
        let found = self.address_or_end(listener);
        found.unwrap_or_else(|| panic!("the log ended before {listener} listens"))
    }

    /// As [`address`](Self::address); `None` if the process ends before.
    pub(crate) fn address_or_end(&mut self, listener: &str) -> Option<String> {
        let found =
            self.next(|line| line["event"] == "listening" && line["listener"] == listener)?;
        Some(found["address"].as_str().unwrap().to_owned())
    }

    /// The next line that matches. `None` if the process ends before.
    fn next(&mut self, matches: impl Fn(&Value) -> bool) -> Option<Value> {
        loop {
            let line = match self.lines.recv_timeout(WAIT_MAX) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the awaited line did not come within {WAIT_MAX:?}")
                }
            };
            let line: Value = serde_json::from_str(&line).unwrap();
            if matches(&line) {
                return Some(line);
            }
        }
    }

    /// Waits until `/readyz` answers 200: every worker listens, a registry is loaded, and there are
    /// keys. No event says so.
    pub(crate) fn ready(&self, admin: &str) {
        until("the router is ready", || {
            get(admin, "/readyz").starts_with("HTTP/1.1 200 ")
        });
    }

    /// Reloads once, so that the router notices each later change of its files: it doesn't notice
    /// changes before its first check. The router must listen already.
    pub(crate) fn reload(&mut self) {
        self.signal("-HUP");
        self.wait("reloaded");
    }

    /// Waits until the process ends. Returns its exit code and standard error.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole answer to a request without credentials.
pub(crate) fn get(address: &str, path: &str) -> String {
    exchange(address, path, "")
}

/// The whole answer to a request with this token.
pub(crate) fn get_with(address: &str, path: &str, token: &str) -> String {
    exchange(address, path, &format!("authorization: Bearer {token}\r\n"))
}

fn exchange(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
