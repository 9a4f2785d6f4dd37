//! Starts the next process and passes the listening sockets to it, so that no connection is refused
//! while a new version or a setting that needs a restart takes effect.
//!
//! The next process gets the sockets over a Unix socket that is its standard input. It starts as any
//! router does, with the sockets instead of addresses, and accepts connections when it is ready to
//! serve. Then it says so, and the old process drains. Both have the same sockets meanwhile, so no
//! connection is lost in a queue. If the next process ends or isn't ready in time, the old one goes
//! on.

use std::env;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::sockets::Passed;
use super::transfer;

/// The argument that tells the next process to take over.
const TAKE_OVER: &str = "--take-over";

/// How long the next process may take until it is ready to serve.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long a process waits for the sockets of the one that started it.
const SOCKETS_WAIT: Duration = Duration::from_secs(10);

/// What the next process says when it serves.
const READY: &[u8] = b"ready\n";

/// The next process, which is killed unless it serves.
pub(super) struct Next {
    child: Child,
    channel: UnixStream,
    serves: bool,
}

impl Next {
    /// Starts this program again, as it was started. If its file was replaced, that is the new
    /// version.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn start() -> io::Result<Self> {
        let (channel, theirs) = UnixStream::pair()?;
        let mut arguments = env::args_os();
        let program = arguments.next().ok_or(io::ErrorKind::NotFound)?;
        let child = Command::new(program)
            .args(arguments.filter(|argument| argument != TAKE_OVER))
            .arg(TAKE_OVER)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // The manager wants signs of life from this process, and then from the next one.
            .env_remove("WATCHDOG_PID")
            .spawn()?;
        Ok(Self {
            child,
            channel,
            serves: false,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Passes the sockets, and waits until the next process serves them.
    ///
    /// # Errors
    /// Why it doesn't serve.
    pub(super) async fn serve(
        &mut self,
        env: &TokioEnv,
        sockets: Vec<(String, OwnedFd)>,
    ) -> Result<(), String> {
        let channel = self
            .channel
            .try_clone()
            .map_err(|error| error.to_string())?;
        // This blocks while the other side doesn't read.
        let sent = env.heavy(move || transfer::send(&channel, &sockets));
        let ready = async {
            sent.await?;
            self.channel.set_nonblocking(true)?;
            let channel = tokio::net::UnixStream::from_std(self.channel.try_clone()?)?;
            let mut said = Vec::new();
            let mut channel = channel.take(READY.len() as u64);
            channel.read_to_end(&mut said).await?;
            Ok::<_, io::Error>(said)
        };
        match timeout(READY_MAX, ready).await {
            Ok(Ok(said)) if said == READY => {
                self.serves = true;
                Ok(())
            }
            Err(_) => Err(format!("the next process is not ready after {READY_MAX:?}")),
            Ok(_) => Err(match self.end() {
                Ok(status) => format!("the next process ended before it served ({status})"),
                Err(error) => format!("the next process ended before it served: {error}"),
            }),
        }
    }

    fn end(&mut self) -> io::Result<std::process::ExitStatus> {
        // It may have closed its side and still run.
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        if !self.serves {
            let _ = self.end();
        }
    }
}

/// The process that passes its sockets to this one.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

impl Predecessor {
    /// The process at the other end of standard input, and its sockets.
    ///
    /// # Errors
    /// Standard input isn't such a socket.
    pub(super) fn from_stdin() -> io::Result<(Self, Vec<Passed>)> {
        let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        channel.set_read_timeout(Some(SOCKETS_WAIT))?;
        let passed = transfer::receive(&channel)?;
        Ok((Self(channel), passed))
    }

    /// Tells it that this process serves. If it is gone, nobody needs to know.
    pub(super) fn ready(&self) {
        let _ = (&self.0).write_all(READY);
    }
}
