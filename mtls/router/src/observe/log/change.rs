//! Tests that change a log's settings while other threads write.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use super::*;
use crate::config::LogTable;
use crate::settings::Output;
use crate::testing::Host;

/// A place that remembers what was written to it, piece by piece.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<Vec<u8>>>);

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Place {
    /// The `error` of each line.
    fn errors(&self) -> Vec<String> {
        let written = self.0.lock().unwrap().clone();
        let written = String::from_utf8(written).unwrap();
        let error = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect(line);
            line["error"].as_str().unwrap().to_owned()
        };
        written.lines().map(error).collect()
    }
}

/// A log with two outputs. The second may be closed.
async fn start(
    host: &Host,
    settings: LogTable,
) -> (LogControl, Flush, [Place; 2], Arc<AtomicBool>) {
    let places = [Place::default(), Place::default()];
    let closed = Arc::new(AtomicBool::new(false));
    let (to, shut) = (places.clone(), closed.clone());
    let open = move |place| -> io::Result<Box<dyn Write + Send>> {
        match place {
            Output::Stderr => Ok(Box::new(to[0].clone())),
            Output::Stdout if shut.load(Relaxed) => Err(io::ErrorKind::PermissionDenied.into()),
            Output::Stdout => Ok(Box::new(to[1].clone())),
        }
    };
    let started = LogControl::start(host, settings, open).await;
    let (control, flush) = started.unwrap();
    (control, flush, places, closed)
}

fn tell(log: &Log, error: &str) {
    log.emit(Now::default(), &Event::ReloadRefused { error });
}

async fn switch(control: &mut LogControl, host: &Host, settings: &LogTable) {
    let change = control.prepare(host, settings).await.unwrap();
    control.commit(change);
}

fn table(to: Output) -> LogTable {
    LogTable {
        to,
        ..LogTable::default()
    }
}

/// Catches: a line that is lost, written twice or torn while the log moves, and an earlier line
/// that is written to the new output.
#[tokio::test]
async fn no_line_is_lost_or_torn_while_the_log_moves() {
    // Fewer than the queue holds, so no line may be lost.
    const WRITERS: usize = 4;
    const LINES: usize = 1_500;
    let host = Host::new();
    let (mut control, flush, places, _) = start(&host, table(Output::Stderr)).await;
    let log = control.log();
    tell(&log, "first");
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let log = log.clone();
            let write = move || (0..LINES).for_each(|n| tell(&log, &format!("{writer} {n}")));
            thread::Builder::new().spawn(write).unwrap()
        })
        .collect();
    for to in [Output::Stdout, Output::Stderr].into_iter().cycle().take(9) {
        switch(&mut control, &host, &table(to)).await;
    }
    tell(&log, "last");
    writers
        .into_iter()
        .for_each(|writer| writer.join().unwrap());
    let lost = control.lost();
    drop((log, control));
    flush.within(Duration::MAX);
    assert_eq!(lost.count(), 0);
    let [old, new] = places.map(|place| place.errors());
    assert_eq!(old.iter().filter(|line| *line == "first").count(), 1);
    assert_eq!(new.iter().filter(|line| *line == "last").count(), 1);
    let mut all: Vec<_> = old.into_iter().chain(new).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), WRITERS * LINES + 2, "each line once");
}

#[tokio::test]
async fn lines_told_before_go_to_the_old_place_and_later_ones_to_the_new() {
    let host = Host::new();
    let (mut control, flush, places, _) = start(&host, table(Output::Stderr)).await;
    let log = control.log();
    tell(&log, "before");
    switch(&mut control, &host, &table(Output::Stdout)).await;
    tell(&log, "after");
    drop((log, control));
    flush.within(Duration::MAX);
    assert_eq!(places.map(|place| place.errors()), [["before"], ["after"]]);
}

#[tokio::test]
async fn a_place_that_cannot_be_opened_leaves_everything_as_it_was() {
    let host = Host::new();
    let (control, flush, places, closed) = start(&host, table(Output::Stderr)).await;
    closed.store(true, Relaxed);
    let wanted = LogTable {
        level: Level::Debug,
        ..table(Output::Stdout)
    };
    let refused = control.prepare(&host, &wanted).await.unwrap_err();
    assert_eq!(refused.setting(), "log.to");
    assert!(refused.to_string().contains("stdout"), "{refused}");
    let log = control.log();
    tell(&log, "still here");
    let event = Event::ConnectionClosed {
        listener: "public",
        why: crate::observe::event::Closed::Idle,
    };
    log.emit(Now::default(), &event);
    drop((log, control));
    flush.within(Duration::MAX);
    assert_eq!(
        places[0].errors(),
        ["still here"],
        "and the level is the same"
    );
}

#[tokio::test]
async fn level_and_subjects_change_for_every_clone() {
    let host = Host::new();
    host.disk.put("one.key", vec![1; 32]);
    host.disk.put("two.key", vec![2; 32]);
    let (mut control, flush, places, _) = start(&host, table(Output::Stderr)).await;
    let (log, shard) = (control.log(), control.log().shard(1));
    let subject = cellway_core::Text::new("alice").unwrap();
    let closed = || {
        shard.emit(
            Now::default(),
            &Event::StreamClosed {
                listener: "public",
                peer: ([127, 0, 0, 1], 1).into(),
                request_id: "r1",
                tenant: None,
                subject: Some(&subject),
                reason: cellway_core::Reason::TenantSuspended,
            },
        );
    };
    let keyed = |key: &str| LogTable {
        subject_key: Some(key.to_owned()),
        ..LogTable::default()
    };
    closed();
    switch(&mut control, &host, &table(Output::Stderr)).await;
    closed();
    switch(&mut control, &host, &keyed("one.key")).await;
    closed();
    switch(&mut control, &host, &keyed("two.key")).await;
    closed();
    let quiet = LogTable {
        level: Level::Error,
        ..keyed("two.key")
    };
    switch(&mut control, &host, &quiet).await;
    closed();
    let missing = control.prepare(&host, &keyed("no.key")).await.unwrap_err();
    assert_eq!(missing.setting(), "log.subject_key");
    drop((log, shard, control));
    flush.within(Duration::MAX);
    let written = String::from_utf8(places[0].0.lock().unwrap().clone()).unwrap();
    let hashes: Vec<_> = written
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["subject_hash"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(hashes.len(), 4, "the level is higher then");
    assert_eq!(hashes[0], hashes[1], "the run's own key stays the same");
    let under = |key: u8| match Subjects::with_key(&[key; 32]).show("alice") {
        Some((_, hash)) => hash,
        None => panic!("no hash"),
    };
    assert_eq!(hashes[2..], [under(1), under(2)]);
}
