//! A thread that writes lines, behind a bounded queue.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// The most lines that wait to be written. More are lost and counted.
const LINES_MAX: usize = 8_192;
/// The most bytes that are written at once, unless a single line is longer. Linux writes so many to a
/// pipe in one piece (`PIPE_BUF`), so that lines of two processes don't mix while an upgrade has both
/// write to the same pipe.
const WRITTEN_MAX: usize = 4096;

/// Takes lines and never waits. Clones write to the same output.
#[derive(Clone, Debug)]
pub struct LogWriter {
    lines: SyncSender<String>,
    lost: Lost,
    /// Nothing is ever sent on it; see [`Flush`].
    end: SyncSender<()>,
}

/// Counts the lines that were lost: the reader was too slow or is gone, or the disk is full.
#[derive(Clone, Debug, Default)]
pub struct Lost(Arc<AtomicU64>);

impl Lost {
    /// The number of lost lines so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }
}

/// Waits for the writing threads when the process exits. Dropping it doesn't wait.
#[derive(Debug)]
pub struct Flush(Receiver<()>);

impl Flush {
    /// Waits until the last [`LogWriter`] is dropped and everything that it took is written, but at
    /// most for `limit`, so that a reader that hangs can't keep the process from exiting.
    pub fn within(self, limit: Duration) {
        // Nothing is ever sent. The channel closes when the last writer and thread are gone.
        let _ = self.0.recv_timeout(limit);
    }
}

impl LogWriter {
    /// Starts a thread that writes to `out` until the last writer is dropped.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let (end, ended) = sync_channel(0);
        let writer = Self::spawn(out, Lost::default(), end)?;
        Ok((writer, Flush(ended)))
    }

    /// Starts another thread, which writes to `out`. It shares the counter of lost lines and the
    /// [`Flush`] with this writer. Each output has its own thread, so that a reader that hangs
    /// doesn't hold up another output.
    ///
    /// # Errors
    /// The system can't start a thread.
    pub fn to(&self, out: impl Write + Send + 'static) -> io::Result<Self> {
        Self::spawn(out, self.lost.clone(), self.end.clone())
    }

    fn spawn(
        out: impl Write + Send + 'static,
        lost: Lost,
        end: SyncSender<()>,
    ) -> io::Result<Self> {
        let (lines, queue) = sync_channel(LINES_MAX);
        let held = end.clone();
        let unwritten = lost.clone();
        // This is a thread and not `Env::spawn`, because writing to a pipe blocks. Only the binary
        // writes to a pipe, and the binary is never simulated.
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                write_all(&queue, out, &unwritten);
                drop(held);
            })?;
        Ok(Self { lines, lost, end })
    }

    /// Takes a line that ends with a line break.
    pub fn write(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.lost.add(1);
        }
    }

    /// The counter of lost lines.
    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }
}

fn write_all(queue: &Receiver<String>, mut out: impl Write, lost: &Lost) {
    // The line that the last batch had no room for.
    let mut next = None;
    while let Some(mut batch) = next.take().or_else(|| queue.recv().ok()) {
        // Write whole lines that have gathered meanwhile at once.
        while let Ok(line) = queue.try_recv() {
            if batch.len() + line.len() > WRITTEN_MAX {
                next = Some(line);
                break;
            }
            batch.push_str(&line);
        }
        let (written, result) = write_batch(&mut out, batch.as_bytes());
        // If the log can't be written, the only place to report that is the counter.
        if result.and_then(|()| out.flush()).is_err() {
            let rest = batch.as_bytes().get(written..).unwrap_or_default();
            let lines = rest.iter().filter(|byte| **byte == b'\n').count();
            lost.add(lines as u64);
        }
    }
}

/// Writes all of it, and returns how many bytes were written before an error.
fn write_batch(out: &mut impl Write, batch: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = batch.get(written..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests;
