//! Starts the next process and passes the listening sockets to it, so that no connection is refused
//! while a new version or a setting that needs a restart takes effect.
//!
//! The next process gets the sockets over a Unix socket that is its standard input. It starts as any
//! router does, with the sockets instead of addresses. When it is ready to serve, it says so and waits.
//! The old process answers, the next one accepts connections and says that it serves, and the old one
//! drains. Both have the same sockets meanwhile, so no connection is lost in a queue.
//!
//! If the next process ends or doesn't serve in time, the old one goes on. It kills the next one only
//! before its answer, when the next one has accepted nothing. Later it asks it to drain.

use std::env;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream as Channel;
use tokio::time::timeout;

use super::sockets::Passed;
use super::transfer;

/// The argument that tells the next process to take over.
const TAKE_OVER: &str = "--take-over";

/// How long the next process may take until it serves.
const SERVES_MAX: Duration = Duration::from_secs(60);
/// How long a process waits for the sockets of the one that started it.
const SOCKETS_WAIT: Duration = Duration::from_secs(10);

/// What the next process says when it is ready to serve.
const READY: &[u8] = b"ready\n";
/// What it is told then: it may accept connections.
const GO: &[u8] = b"go\n";
/// What it says when all its workers accept connections.
const SERVES: &[u8] = b"serves\n";

/// The next process.
pub(super) struct Next {
    child: Child,
    channel: UnixStream,
    stage: Stage,
}

/// How far the next process is.
enum Stage {
    /// It has accepted nothing, so it can be killed.
    Starts,
    /// It may have accepted connections, so it has to drain.
    Opens,
    /// It serves, and this process drains.
    Serves,
}

impl Next {
    /// Starts this program again, as it was started. If its file was replaced, that is the new
    /// version.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn start() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let program = arguments.next().ok_or(io::ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        command
            .args(arguments.filter(|argument| argument != TAKE_OVER))
            .arg(TAKE_OVER);
        Self::run(command)
    }

    fn run(mut command: Command) -> io::Result<Self> {
        let (channel, theirs) = UnixStream::pair()?;
        let child = command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // The manager wants signs of life from this process, and then from the next one.
            .env_remove("WATCHDOG_PID")
            .spawn()?;
        Ok(Self {
            child,
            channel,
            stage: Stage::Starts,
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
        let served = async {
            sent.await?;
            let mut channel = asynchronous(&self.channel)?;
            hear(&mut channel, READY).await?;
            self.stage = Stage::Opens;
            channel.write_all(GO).await?;
            hear(&mut channel, SERVES).await
        };
        let served = timeout(SERVES_MAX, served).await;
        match served {
            Ok(Ok(())) => {
                self.stage = Stage::Serves;
                Ok(())
            }
            Ok(Err(_)) => Err(self.gave_up()),
            Err(_) => Err(format!(
                "the next process does not serve after {SERVES_MAX:?}"
            )),
        }
    }

    /// Why the next process said something else or nothing.
    fn gave_up(&mut self) -> String {
        match self.stage {
            Stage::Starts => match self.kill() {
                Ok(status) => format!("the next process ended before it served ({status})"),
                Err(error) => format!("the next process ended before it served: {error}"),
            },
            Stage::Opens | Stage::Serves => {
                "the next process couldn't open its listeners".to_owned()
            }
        }
    }

    fn kill(&mut self) -> io::Result<ExitStatus> {
        // It may have closed its side and still run.
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        match self.stage {
            Stage::Starts => {
                let _ = self.kill();
            }
            Stage::Opens => {
                let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            }
            Stage::Serves => {}
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

    /// Tells it that this process is ready, and waits until this process may accept connections. If
    /// the other one is gone, nobody else serves, so this one may too.
    pub(super) async fn lets_open(&self) {
        if let Ok(mut channel) = asynchronous(&self.0)
            && channel.write_all(READY).await.is_ok()
        {
            let _ = hear(&mut channel, GO).await;
        }
    }

    /// Tells it that this process serves. If it is gone, nobody needs to know.
    pub(super) fn serves(&self) {
        let _ = (&self.0).write_all(SERVES);
    }
}

fn asynchronous(channel: &UnixStream) -> io::Result<Channel> {
    channel.set_nonblocking(true)?;
    Channel::from_std(channel.try_clone()?)
}

/// Waits until the other side has said these words.
async fn hear(channel: &mut Channel, words: &[u8]) -> io::Result<()> {
    let mut said = vec![0; words.len()];
    channel.read_exact(&mut said).await?;
    match said == words {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests;
