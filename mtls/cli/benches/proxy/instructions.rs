//! Instructions per request, counted by valgrind, and the guard that compares them with the committed
//! numbers.
//!
//! One client sends one request at a time, so that every request takes the same path and nothing is
//! done for several at once. That makes the counts repeatable to a fraction of a percent, but it is not
//! how a loaded router works: compare these numbers only with each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use tokio::runtime::Runtime;

use super::load::Client;
use super::work::Work;
use super::world::{TENANTS, World};

/// How much more than the committed number a request may cost, in percent.
const MORE_MAX: f64 = 5.0;
/// Requests that are counted.
const COUNTED: usize = 500;
/// Connections that are counted.
const COUNTED_CONNECTIONS: usize = 40;
/// Requests before those, besides one with each token: buffers have their size, and caches are warm.
const WARM_UP: usize = 50;

/// Counts all kinds of work. Fails if one costs more than the committed number allows. With `record`,
/// commits the counts instead.
pub(crate) fn run(runtime: &Runtime, record: bool) -> ExitCode {
    if !has_valgrind() {
        println!("instructions: skipped: valgrind is not installed");
        return ExitCode::SUCCESS;
    }
    let compiler = compiler();
    let mut committed = Committed::read();
    let before = committed.0.get(&compiler).cloned().unwrap_or_default();
    if before.is_empty() && !record {
        println!(
            "instructions: skipped: there are no numbers for {compiler}. Add them with --record on the \
             commit before your change"
        );
        return ExitCode::SUCCESS;
    }
    let counts = runtime.block_on(count_all());
    println!(
        "{:<55} {:>12} {:>12} {:>8}",
        "instructions per request", "committed", "now", ""
    );
    let mut fits = true;
    for (work, count) in Work::ALL.iter().zip(&counts) {
        let Some(before) = before.get(work.name) else {
            println!("{work} {:>12} {count:>12}", "-");
            continue;
        };
        let more = (*count as f64 / *before as f64 - 1.0) * 100.0;
        fits &= more <= MORE_MAX;
        let mark = if more <= MORE_MAX { "" } else { "  too many" };
        println!("{work} {before:>12} {count:>12} {more:>+6.1} %{mark}");
    }
    if record {
        let names = Work::ALL.iter().map(|work| work.name.to_owned());
        committed.0.insert(compiler, names.zip(counts).collect());
        committed.write();
        return ExitCode::SUCCESS;
    }
    if fits {
        return ExitCode::SUCCESS;
    }
    println!(
        "a request costs over {MORE_MAX} % more instructions than {} says. Make it cheaper, or record \
         the new numbers with --record and say in the commit message what they buy",
        Committed::path().display()
    );
    ExitCode::FAILURE
}

/// The instructions of a request of one kind of work, with so many tenants in the registry. `None`
/// without valgrind.
pub(crate) async fn of(work: Work, tenants: usize) -> Option<u64> {
    if !has_valgrind() {
        return None;
    }
    let mut counter = Counter::new();
    let mut world = World::start(&counter.command(), tenants);
    let instructions = count(&world, &mut counter, work).await;
    world.end();
    Some(instructions)
}

fn has_valgrind() -> bool {
    Command::new("callgrind_control")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The committed numbers: by compiler, because each makes other code, then by kind of work.
struct Committed(BTreeMap<String, BTreeMap<String, u64>>);

impl Committed {
    fn path() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/instructions.json")
    }

    fn read() -> Self {
        let text = std::fs::read_to_string(Self::path()).expect("the committed numbers");
        Self(serde_json::from_str(&text).expect("numbers by compiler and kind of work"))
    }

    fn write(&self) {
        let mut text = serde_json::to_string_pretty(&self.0).expect("JSON");
        text.push('\n');
        std::fs::write(Self::path(), text).expect("a file that can be written");
    }
}

/// The compiler and what it compiles for.
fn compiler() -> String {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.expect("the compiler that built this").stdout;
    let output = String::from_utf8_lossy(&output);
    let value = |key: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default().to_owned()
    };
    format!("rustc {} {}", value("release: "), value("host: "))
}

/// Counts the instructions of a request of each kind of work.
async fn count_all() -> Vec<u64> {
    let mut counter = Counter::new();
    let mut world = World::start(&counter.command(), TENANTS);
    let mut counts = Vec::new();
    for work in Work::ALL {
        counts.push(count(&world, &mut counter, work).await);
    }
    world.end();
    counts
}

async fn count(world: &World, counter: &mut Counter, work: Work) -> u64 {
    let mut client = Client::connect(world, work, 0, 1).await.remove(0);
    let counted = match work.reconnects {
        true => COUNTED_CONNECTIONS,
        false => COUNTED,
    };
    let warm_up = match work.reconnects {
        true => WARM_UP,
        false => TENANTS + WARM_UP,
    };
    for _ in 0..warm_up {
        client.exchange().await;
    }
    counter.start(world.router());
    for _ in 0..counted {
        client.exchange().await;
    }
    counter.stop(world.router()) / counted as u64
}

/// valgrind's tool callgrind, which counts when it is told to.
struct Counter {
    /// Where it writes: a file for each count, with the count's number after this name.
    output: PathBuf,
    counts: u32,
}

impl Counter {
    fn new() -> Self {
        Self {
            output: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("instructions"),
            counts: 0,
        }
    }

    /// The command to put in front of the router's.
    fn command(&self) -> Vec<String> {
        let output = format!("--callgrind-out-file={}", self.output.display());
        let fixed = [
            "valgrind",
            "--quiet",
            "--tool=callgrind",
            "--instr-atstart=no",
        ];
        let fixed = fixed.into_iter().map(str::to_owned);
        fixed.chain([output]).collect()
    }

    fn start(&self, process: u32) {
        control("--instr=on", process);
    }

    /// Returns how many instructions were counted since the start.
    fn stop(&mut self, process: u32) -> u64 {
        control("--instr=off", process);
        control("--dump", process);
        self.counts += 1;
        let path = format!("{}.{}", self.output.display(), self.counts);
        let dump = std::fs::read_to_string(path).expect("the count");
        let totals = dump.lines().find_map(|line| line.strip_prefix("totals: "));
        let totals = totals.and_then(|count| count.trim().parse().ok());
        totals.expect("the sum of all instructions")
    }
}

fn control(command: &str, process: u32) {
    let status = Command::new("callgrind_control")
        .args([command, &process.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let done = status.is_ok_and(|status| status.success());
    assert!(done, "callgrind_control {command} fails");
}
