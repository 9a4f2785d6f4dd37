use std::sync::Mutex;
use std::sync::mpsc;

use super::*;

/// Blocks at the first write until the test releases it. Keeps each write apart.
struct Slow(mpsc::Receiver<()>, Arc<Mutex<Vec<String>>>);

impl Write for Slow {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        let written = String::from_utf8(buffer.to_vec()).unwrap();
        self.1.lock().unwrap().push(written);
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
    // More than the queue holds, while nothing is written. If `write` waited, this would hang.
    let sent = LINES_MAX * 3;
    for _ in 0..sent {
        writer.write("line\n".to_owned());
    }
    drop(writer);
    drop(go);
    flush.within(Duration::MAX);
    let lines = written.lock().unwrap().concat().lines().count();
    assert!(lines >= LINES_MAX, "{lines} lines were written");
    assert_eq!(
        lines as u64 + lost.count(),
        sent as u64,
        "each is written or counted"
    );
    assert!(lost.count() > 0);
}

/// Catches: a write to a pipe that is long enough for a line of another process to get into the
/// middle of it.
#[test]
fn what_is_written_at_once_ends_with_a_line_and_fits_into_a_pipe() {
    let (go, wait) = mpsc::channel();
    let written = Arc::new(Mutex::new(Vec::new()));
    let (writer, flush) = LogWriter::start(Slow(wait, Arc::clone(&written))).unwrap();
    let line = |length: usize| "x".repeat(length - 1) + "\n";
    let lines: Vec<_> = (1..200)
        .map(|i| line(i * 7))
        .chain([line(4095), line(1), line(1), line(9000), line(1)])
        .collect();
    for line in &lines {
        writer.write(line.clone());
    }
    drop(writer);
    drop(go);
    flush.within(Duration::MAX);
    let written = written.lock().unwrap();
    assert_eq!(written.concat(), lines.concat(), "all, and in order");
    for write in written.iter() {
        let fits = write.len() <= 4096 || *write == line(9000);
        assert!(fits && write.ends_with('\n'), "{} bytes", write.len());
    }
    assert!(written.len() < lines.len() / 2, "lines share a write");
}

/// Takes some bytes, and then none any more, as a full disk does.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let taken = self.0.min(buffer.len());
        self.0 -= taken;
        match taken {
            0 => Err(io::ErrorKind::StorageFull.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Catches: a log that nobody gets, and a counter that says that nothing is lost.
#[test]
fn lines_that_cannot_be_written_are_lost() {
    let (writer, flush) = LogWriter::start(Full("line\nli".len())).unwrap();
    let lost = writer.lost();
    for _ in 0..10 {
        writer.write("line\n".to_owned());
    }
    drop(writer);
    flush.within(Duration::MAX);
    assert_eq!(lost.count(), 9, "all but the one that was written whole");
}
