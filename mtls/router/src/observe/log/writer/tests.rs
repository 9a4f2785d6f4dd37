use std::sync::Mutex;
use std::sync::mpsc;

use super::*;

/// Blocks at the first write until the test releases it.
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
    // More than the queue holds, while nothing is written. If `write` waited, this would hang.
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
