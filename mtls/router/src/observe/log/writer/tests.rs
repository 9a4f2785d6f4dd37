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
