//! `cellway demo`: the router and everything around it in one process, on loopback.
//!
//! The router is a real one, started from the configuration file that the demo writes. The rows of
//! the table come from the answers, as a caller sees them, and are checked against the cells' own
//! reports.

mod authorities;
mod callers;
mod commands;
mod folder;
mod router;
mod table;
mod world;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_router::BindError;
use cellway_router::log::LogWriter;
use cellway_testbed::{Ca, Client, Credential, Target, TestbedError, TlsProvider};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::callers::{Caller, Tokens, callers};
use self::folder::{Folder, Ports};
use self::table::Row;
use self::world::World;
use super::shell::quoted;

/// The longest that a sample request may take.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How long requests in flight may take when the demo ends.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The arguments of `cellway demo`.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(after_help = "\
Examples:
  cellway demo                          until Ctrl-C, in a temporary folder
  cellway demo --exit                   only the table
  cellway demo --dir try --without-router, then: cellway serve --config try/cellway.toml

Exit codes: 0 all is well, 1 a row of the table is not as expected, 2 usage, 3 it can't start")]
pub(crate) struct DemoArgs {
    /// End after the table, with status 0 only if every row is as expected
    #[arg(long)]
    pub exit: bool,
    /// Run everything except the router; start the router with `cellway serve`
    #[arg(long, conflicts_with = "exit")]
    pub without_router: bool,
    /// The router's port (a free one is chosen if absent)
    #[arg(long)]
    pub port: Option<u16>,
    /// Where to write configuration, certificates and tokens: a new or empty folder, or an earlier demo's,
    /// which is written anew (if absent, a new temporary folder, which is removed at the end)
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// Runs the demo until Ctrl-C or SIGTERM, or with `--exit` until the table is printed.
///
/// Everything runs on one thread, the router with one worker.
pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    let outcome = LogWriter::start(io::stderr()).and_then(|(lines, flush)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let outcome = runtime.map(|runtime| runtime.block_on(demo(args, lines)));
        // This waits for all tasks that can write a line, so the runtime must be dropped first.
        drop(flush);
        outcome
    });
    let outcome = outcome.unwrap_or_else(|why| Err(DemoError::Network(why)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // If the reader is gone, it wants no more output. With `--exit`, nobody has seen that all
        // rows are right.
        Err(DemoError::Output(why)) if why.kind() == io::ErrorKind::BrokenPipe => match args.exit {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        },
        Err(why) => {
            // If that fails, the exit code still tells the result.
            let _ = writeln!(io::stderr(), "cellway demo: {why}");
            // As for all commands, 1 means "no", and 3 means that the command couldn't be carried
            // out.
            ExitCode::from(3)
        }
    }
}

/// Runs the demo, and returns whether every row was as expected.
async fn demo(args: &DemoArgs, lines: LogWriter) -> Result<bool, DemoError> {
    let env = TokioEnv::new();
    let provider = TlsProvider::default();
    let mut signals = Signals::new()?;
    let world = World::start(&env, &provider).await?;
    let folder = Folder::new(env.clone(), args.dir.as_deref())?;
    folder.write_materials(&world).await?;
    let globex = write_callers(&env, &folder, &world).await?;
    if args.without_router {
        surroundings(&env, &folder, &world, args.port).await?;
        signals.end().await;
        if args.dir.is_none() {
            say(&removed(&folder))?;
        }
        return Ok(true);
    }
    let (router, ports) =
        router::start(&env, &provider, &folder, &world, args.port, &lines).await?;

    say(&addresses(&world, ports))?;
    let callers = callers(&Tokens::new(&world, env.unix_now()))?;
    let rows = call(&env, &provider, &world, ports, &globex, callers).await?;
    say(&table::render(&rows))?;
    let problems = problems(&world, &rows);
    say(&verdict(&problems))?;
    if !args.exit {
        let folder_name = folder.root().display();
        let commands = commands::commands(&folder, ports);
        say(&format!(
            "\nEverything is in {folder_name}\n\n{commands}\nCtrl-C ends it.\n"
        ))?;
        signals.end().await;
    }
    router.drain(DRAIN_MAX).await;
    if args.dir.is_none() && !args.exit {
        say(&removed(&folder))?;
    }
    if args.dir.is_some() {
        let config = quoted(&folder.path("cellway.toml"));
        let folder = quoted(folder.root());
        say(&format!(
            "{folder} is left as it is. Its cells ended with the demo, so a router that is started \
             from it answers 502.\n`cellway demo --dir {folder}` runs everything again, and these \
             two run the router apart:\n\
             cellway demo --dir {folder} --without-router\n\
             cellway serve --config {config}\n"
        ))?;
    }
    Ok(problems.is_empty())
}

/// What the demo says at its end of a folder that it removes.
fn removed<E: Env>(folder: &Folder<E>) -> String {
    let folder = folder.root().display();
    format!(
        "{folder} is removed, with its keys and tokens. --dir keeps them in a folder of yours.\n"
    )
}

/// The signals that end the demo. One that comes while the demo is starting ends it after that, so
/// that no folder with keys is left.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Prepares everything that a router needs, and says how to start one.
async fn surroundings<E: Env>(
    env: &E,
    folder: &Folder<E>,
    world: &World,
    asked: Option<u16>,
) -> Result<(), DemoError> {
    let ports = router::ports(env, asked).await?;
    folder.write_configuration(world, ports).await?;
    let lines = world.addresses();
    let lines = lines.iter().map(|(who, url)| format!("{who:17}  {url}\n"));
    let (addresses, commands) = (lines.collect::<String>(), commands::commands(folder, ports));
    let config = quoted(&folder.path("cellway.toml"));
    let folder = folder.root().display();
    say(&format!(
        "{addresses}\nEverything is in {folder}\n\n# the router, in another terminal\n\
         {} serve --config {config}\n\n{commands}\nCtrl-C ends it.\n",
        commands::executable()
    ))
}

/// The hosts and their addresses, one on each line.
fn addresses(world: &World, ports: Ports) -> String {
    let public = format!("https://127.0.0.1:{}", ports.public);
    let admin = format!("http://127.0.0.1:{}", ports.admin);
    let mut lines = vec![
        ("router".to_owned(), public.as_str()),
        ("router, admin".to_owned(), &admin),
    ];
    lines.extend(world.addresses());
    let lines = lines.iter().map(|(who, url)| format!("{who:17}  {url}\n"));
    lines.chain(["\n".to_owned()]).collect()
}

/// Writes the callers' credentials: the certificate of globex, and tokens.
async fn write_callers<E: Env>(
    env: &E,
    folder: &Folder<E>,
    world: &World,
) -> Result<Credential, DemoError> {
    let globex = world.authorities.client("globex", 30)?;
    folder.write_credential("globex", &globex).await?;
    let tokens = Tokens::new(world, env.unix_now());
    for (tenant, kid) in [("acme", "rsa-1"), ("initech", "ec-1"), ("umbrella", "ed-1")] {
        let token = tokens.good(tenant, kid)?;
        folder.write(&format!("{tenant}.token"), &token).await?;
    }
    Ok(globex)
}

/// Sends the sample requests one after the other, each over a new connection.
async fn call<E: Env>(
    env: &E,
    provider: &TlsProvider,
    world: &World,
    ports: Ports,
    globex: &Credential,
    callers: Vec<Caller>,
) -> Result<Vec<Row>, DemoError> {
    let mut rows = Vec::with_capacity(callers.len());
    for caller in callers {
        let roots = Ca::roots(&[&world.authorities.servers])?;
        let certificate = caller.certificate.then_some(globex);
        let target = Target {
            host: "127.0.0.1".to_owned(),
            port: ports.public,
            tls: Some(provider.client(roots, certificate, caller.protocol)?),
            protocol: caller.protocol,
        };
        let client = Client::new(env.clone(), target, REQUEST_MAX);
        let answer = client.send(caller.request.clone()).await;
        rows.push(Row::new(&caller, answer.as_ref()));
    }
    Ok(rows)
}

/// What is wrong with the table or with the cells' own reports.
fn problems(world: &World, rows: &[Row]) -> Vec<String> {
    let mut problems = Vec::new();
    let wrong = rows.iter().filter(|row| !row.as_expected()).count();
    if wrong > 0 {
        problems.push(format!(
            "{wrong} of {} rows are not as expected.",
            rows.len()
        ));
    }
    if world.forgery_arrived() {
        problems.push("A forged header reached a cell.".to_owned());
    }
    let served = rows.iter().filter(|row| row.served()).count() as u64;
    let arrivals = world.arrivals();
    if arrivals != served {
        problems.push(format!(
            "The cells received {arrivals} requests, not {served}."
        ));
    }
    problems
}

fn verdict(problems: &[String]) -> String {
    if problems.is_empty() {
        "\nAll rows are as expected, and no forged header reached a cell.\n".to_owned()
    } else {
        format!("\n{}\n", problems.join("\n"))
    }
}

/// Prints text. If the reader is gone, the demo ends.
fn say(text: &str) -> Result<(), DemoError> {
    let mut out = io::stdout().lock();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map_err(DemoError::Output)
}

/// Why the demo can't run.
#[derive(Debug)]
enum DemoError {
    /// A key, certificate, token or TLS configuration couldn't be made.
    Testbed(TestbedError),
    /// A socket or signal failed.
    Network(io::Error),
    /// Standard output can't be written.
    Output(io::Error),
    /// A file couldn't be written.
    Write(PathBuf, io::Error),
    /// An address of the router can't be bound.
    Taken(BindError),
    /// The router didn't start.
    Router(String),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Testbed(why) => why.fmt(f),
            Self::Network(why) => why.fmt(f),
            Self::Output(why) => write!(f, "can't write to standard output: {why}"),
            Self::Write(path, why) => write!(f, "can't write {}: {why}", path.display()),
            Self::Taken(why) => write!(f, "the router: {why}"),
            Self::Router(why) => write!(f, "the router didn't start: {why}"),
        }
    }
}

impl From<TestbedError> for DemoError {
    fn from(why: TestbedError) -> Self {
        Self::Testbed(why)
    }
}

impl From<io::Error> for DemoError {
    fn from(why: io::Error) -> Self {
        Self::Network(why)
    }
}
