//! A thread that writes lines, behind a bounded queue.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Most lines that wait to be written; more are lost, and counted.
const LINES_MAX: usize = 8_192;

/// Takes lines and never waits. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct LogWriter {
    lines: SyncSender<String>,
    lost: Lost,
    /// Never sent to; see [`Flush`].
    end: SyncSender<()>,
}

/// How many lines were lost because the reader was too slow.
#[derive(Clone, Debug, Default)]
pub struct Lost(Arc<AtomicU64>);

impl Lost {
    /// How many so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The writing threads, to be waited for at the end. Dropping it doesn't wait.
#[derive(Debug)]
pub struct Flush(Receiver<()>);

impl Flush {
    /// Waits until the last [`LogWriter`] is dropped and everything taken is written, or until
    /// `limit` is over: a reader that hangs doesn't hold up the end of the process.
    pub fn within(self, limit: Duration) {
        // Nothing is ever sent: the end of the last writer and thread drops the other side.
        let _ = self.0.recv_timeout(limit);
    }
}

impl LogWriter {
    /// Starts a thread that writes to `out` until the last writer is dropped.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Flush)> {
        let (end, ended) = sync_channel(0);
        let writer = Self::spawn(out, Lost::default(), end)?;
        Ok((writer, Flush(ended)))
    }

    /// Starts another thread, which writes to `out`. It counts what is lost with this one, and is waited
    /// for with this one. A thread each: a reader that hangs doesn't keep lines from another place.
    ///
    /// # Errors
    /// The system has no thread to give.
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
        // A thread of its own and not `Env::spawn`: writing to a pipe blocks, and only the
        // binary, which is never simulated, writes to one.
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                write_all(&queue, out);
                drop(held);
            })?;
        Ok(Self { lines, lost, end })
    }

    /// Takes a line, with its line break.
    pub fn write(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.lost.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the lines that were lost.
    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }
}

fn write_all(queue: &Receiver<String>, mut out: impl Write) {
    while let Ok(mut batch) = queue.recv() {
        // One write for what has gathered meanwhile.
        while batch.len() < 64 * 1024
            && let Ok(line) = queue.try_recv()
        {
            batch.push_str(&line);
        }
        // There is nobody left to tell that the log can't be written.
        let _ = out.write_all(batch.as_bytes()).and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use super::*;

    /// Blocks at the first write until it is let go.
    struct Slow(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(buffer);
            Ok(buffer.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_hangs_costs_lines_and_never_waits() {
        let (go, wait) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (writer, flush) = LogWriter::start(Slow(wait, Arc::clone(&written))).unwrap();
        let lost = writer.lost();
        // More than the queue holds, while nothing is written: this would hang if it waited.
        let sent = LINES_MAX * 3;
        for _ in 0..sent {
            writer.write("line\n".to_owned());
        }
        drop(writer);
        drop(go);
        flush.within(Duration::MAX);
        let lines = written
            .lock()
            .unwrap()
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        assert!(lines >= LINES_MAX, "{lines} lines were written");
        assert_eq!(
            lines as u64 + lost.count(),
            sent as u64,
            "each is written or counted"
        );
        assert!(lost.count() > 0);
    }
}
