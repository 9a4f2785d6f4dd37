//! `cellway serve`

mod pages;
mod signals;
mod sockets;
mod supervisor;
mod transfer;
mod upgrade;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_env::{Clock, Env};
use cellway_router::config::Config;
use cellway_router::event::{Event, Sink, Startup};
use cellway_router::log::{Flush, Log, LogControl, LogError};
use cellway_router::metrics::{Counting, Metrics};
use cellway_router::reload::{DrainInForce, Reloader};
use cellway_router::settings::DrainTimes;
use cellway_router::settings::Output;
use cellway_router::tls::Provider;
use cellway_router::{Handle, Router, StartError, Worker};
use tokio::runtime::Builder;

use self::pages::Pages;
use self::signals::{Asked, Signals};
use self::sockets::{Passed, Sockets};
use self::supervisor::{Supervisor, Watchdog};
use self::upgrade::{Next, Predecessor};
use super::input::{ConfigFile, variables};
use super::{Exit, allocator, complain, failed, process};

/// The arguments of `cellway serve`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Signals:
  SIGTERM, SIGINT  drain: /readyz fails at once; after runtime.drain_delay_secs the sockets close,
                   and requests in flight have runtime.drain_secs. A second one ends at once
  SIGHUP           read configuration, certificates, keys, bundles and registry again (a change of
                   the files does the same); a bad one leaves the old in force and says so
  SIGUSR2          upgrade: start this program again, pass it the sockets, and drain when it
                   serves. If it doesn't serve, go on

Examples:
  cellway serve --config cellway.toml
  CELLWAY__LOG__LEVEL=debug cellway serve -c cellway.toml

Exit codes: 0 drained, 1 the configuration has mistakes, 2 usage, 3 it can't start")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// Take over from the process that started this one (it does so on SIGUSR2)
    #[arg(long, hide = true)]
    take_over: bool,
}

type Sinks = (Log, (Counting, Supervisor));

/// Who started this process and what it gave.
#[derive(Default)]
struct Origin {
    supervisor: Supervisor,
    /// The process that this one replaces.
    predecessor: Option<Predecessor>,
    passed: Vec<Passed>,
}

impl Origin {
    /// Call it before there are threads.
    fn find(args: &Args) -> Result<Self, Exit> {
        let supervisor = Supervisor::from_env()
            .map_err(|error| failed(format!("can't use $NOTIFY_SOCKET: {error}")))?;
        let (predecessor, passed) = match args.take_over {
            true => {
                let problem = "--take-over: standard input has no sockets of a running router";
                let (predecessor, passed) = Predecessor::from_stdin().map_err(|error| {
                    failed(format!(
                        "{problem}: {error}\n    send SIGUSR2 to that router instead"
                    ))
                })?;
                (Some(predecessor), passed)
            }
            false => {
                let passed = supervisor::passed()
                    .map_err(|error| failed(format!("a socket in $LISTEN_FDS: {error}")))?;
                (None, passed)
            }
        };
        Ok(Self {
            supervisor,
            predecessor,
            passed,
        })
    }

    /// Sorts the sockets. A replaced process keeps sockets that the new configuration doesn't use,
    /// until it has drained. A service manager would leave their clients waiting.
    fn sockets(&mut self, config: &Config) -> Result<Sockets, Exit> {
        let passed = std::mem::take(&mut self.passed);
        let sockets = Sockets::sort(passed, config)
            .map_err(|error| failed(format!("a socket in $LISTEN_FDS: {error}")))?;
        match sockets.unused.is_empty() || self.predecessor.is_some() {
            true => Ok(sockets),
            false => Err(failed(format!(
                "no listener for these sockets in $LISTEN_FDS: {}. In the socket unit, set \
                 FileDescriptorName= to the listener's name and ListenStream= to its `bind`",
                sockets.unused.join(", ")
            ))),
        }
    }
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Exit {
    let origin = match Origin::find(args) {
        Ok(origin) => origin,
        Err(exit) => return exit,
    };
    // This thread runs the control task, the admin pages and signals. Each worker has its own
    // thread.
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error),
    };
    let (exit, flush) = runtime.block_on(until_signaled(args, origin));
    // A thread that hangs in a file system must not keep the process.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    // The log ends when the last task that writes to it ends.
    if let Some(flush) = flush {
        flush.within(FLUSH_MAX);
    }
    exit
}

/// Runs the router until it has drained. A signal ends a start that isn't complete.
async fn until_signaled(args: &Args, origin: Origin) -> (Exit, Option<Flush>) {
    // First of all, because without a handler SIGHUP would end the process.
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return (failed(format!("can't listen for signals: {error}")), None),
    };
    let asked = Asked {
        supervisor: origin.supervisor.clone(),
        ..Asked::default()
    };
    let prepared = tokio::select! {
        biased;
        () = signals.end(&asked) => return (Exit::Ok, None),
        prepared = prepare(args) => prepared,
    };
    match prepared {
        Ok((env, config, log, flush)) => {
            let process = Process {
                env,
                path: &args.config.path,
                config,
                log,
                origin,
            };
            let exit = serve(process, (signals, asked)).await;
            (exit, Some(flush))
        }
        Err(exit) => (exit, None),
    }
}

/// Reads the configuration and starts the log.
async fn prepare(args: &Args) -> Result<(TokioEnv, Config, LogControl, Flush), Exit> {
    let env = TokioEnv::new();
    let config = args.config.load(&env).await?;
    let (log, flush) = LogControl::start(&env, config.log.clone(), open)
        .await
        .map_err(|error| no_log(&args.config.path, &config, &error))?;
    Ok((env, config, log, flush))
}

fn open(to: Output) -> io::Result<Box<dyn Write + Send>> {
    Ok(match to {
        Output::Stderr => Box::new(io::stderr()),
        Output::Stdout => Box::new(io::stdout()),
    })
}

fn no_log(path: &str, config: &Config, error: &LogError) -> Exit {
    let setting = error.setting();
    let at = config.stated.place(setting).within(path);
    let problem = format!("{at}: {setting}: {error}");
    if let LogError::SubjectKey(_) = error {
        complain(problem);
        return Exit::No;
    }
    failed(problem)
}

/// How long the process waits for the log's reader before it exits.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// How long the process waits for threads that are still in the file system before it exits.
const SHUTDOWN_MAX: Duration = Duration::from_secs(1);

/// What a process starts with.
struct Process<'a> {
    env: TokioEnv,
    path: &'a str,
    config: Config,
    log: LogControl,
    origin: Origin,
}

/// A router that was started, and what belongs to it in this process.
struct Started {
    handle: Handle<TokioEnv, Sinks>,
    drain: DrainInForce,
    pages: Pages,
    sink: Sinks,
}

async fn serve(process: Process<'_>, (mut signals, asked): (Signals, Asked)) -> Exit {
    let env = process.env.clone();
    let supervisor = process.origin.supervisor.clone();
    let started = tokio::select! {
        biased;
        () = signals.end(&asked) => return Exit::Ok,
        started = start_all(process, &asked) => started,
    };
    let (started, predecessor) = match started {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    let handle = &started.handle;
    let at_once = || DrainTimes {
        delay: Duration::ZERO,
        ..started.drain.get()
    };
    let (times, exit) = tokio::select! {
        biased;
        () = signals.end(&asked) => {
            let times = started.drain.get();
            supervisor.stopping(times.total() + SHUTDOWN_MAX + FLUSH_MAX);
            (times, Exit::Ok)
        }
        // Another process took an address first. Workers that opened before may have connections.
        error = never_opened(handle, predecessor, &supervisor) => (at_once(), failed(error)),
        pid = upgraded(&env, &started, &asked) => {
            handle.replaced();
            started.pages.close();
            supervisor.main_process(pid);
            // The next process already takes the connections.
            (at_once(), Exit::Ok)
        }
    };
    tokio::select! {
        biased;
        _drained = handle.drain(times) => {}
        // A second signal ends the process at once.
        () = signals.end(&asked) => {}
    }
    exit
}

/// Starts the next process whenever asked to. Returns its id when it serves.
async fn upgraded(env: &TokioEnv, started: &Started, asked: &Asked) -> u32 {
    let emit = |event: Event<'_>| started.sink.emit(started.handle.clock().now(), &event);
    loop {
        asked.upgrade.notified().await;
        match upgrade(env, started, &emit).await {
            Ok(pid) => {
                emit(Event::HandedOver { pid });
                return pid;
            }
            Err(error) => {
                asked
                    .supervisor
                    .status(format_args!("upgrade failed: {error}"));
                emit(Event::UpgradeFailed { error: &error });
            }
        }
    }
}

async fn upgrade(
    env: &TokioEnv,
    started: &Started,
    emit: &impl Fn(Event<'_>),
) -> Result<u32, String> {
    if !started.handle.is_open() {
        return Err("the listeners are not open yet".to_owned());
    }
    let sockets = sockets_of(started).map_err(|error| format!("can't copy a socket: {error}"))?;
    let mut next = Next::start().map_err(|error| format!("can't start a process: {error}"))?;
    emit(Event::UpgradeStarted { pid: next.pid() });
    next.serve(env, sockets).await?;
    Ok(next.pid())
}

/// All sockets of this process with their names.
fn sockets_of(started: &Started) -> io::Result<Vec<(String, OwnedFd)>> {
    let listeners = started.handle.sockets()?.into_iter();
    let listeners = listeners.map(|(name, socket)| (name.to_string(), socket));
    Ok(listeners.chain(started.pages.sockets()?).collect())
}

/// Starts the router, its pages and its reloader, which reloads whenever asked to.
async fn start_all(
    process: Process<'_>,
    asked: &Asked,
) -> Result<(Started, Option<Predecessor>), Exit> {
    let Process {
        env,
        path,
        config,
        log,
        mut origin,
    } = process;
    let metrics = Metrics::new();
    let metrics = metrics.with_log(log.lost()).with_process(process::read);
    let supervisor = origin.supervisor.clone();
    let sink: Sinks = (log.log(), (metrics.sink(), supervisor.clone()));
    let workers = config.workers.unwrap_or_else(cores);
    let startup = Startup {
        config: path,
        stated: &config.stated,
        workers,
    };
    let now = Clock::new(env.clone()).now();
    sink.emit(now, &Event::Starting(&startup));
    let mut sockets = origin.sockets(&config)?;
    let takes_over = origin.predecessor.is_some();
    let mut pages = Pages::bind(&env, &config, &mut sockets).await?;
    let watchdog = Watchdog::from_env(workers);
    let starting = Starting {
        workers,
        watchdog: watchdog.clone(),
        sockets: sockets.listeners,
        takes_over,
    };
    let handle = start(&env, path, &config, starting, sink.clone()).await?;
    env.spawn(allocator::gives_back());
    if let Some(watchdog) = watchdog {
        env.spawn(watchdog.watch(supervisor));
    }
    pages.serve(&env, &handle, (&metrics, &sink), takes_over);
    let reloader = Reloader::new(&handle, path, variables, config);
    let drain = reloader.drain_times();
    env.spawn(reloader.with_log(log).run(Arc::clone(&asked.reload)));
    let started = Started {
        handle,
        drain,
        pages,
        sink,
    };
    Ok((started, origin.predecessor))
}

/// Opens the listeners when the process that this one replaces lets it, and tells the others when they
/// are open. Returns an error if they can't open; otherwise it never returns.
async fn never_opened(
    handle: &Handle<TokioEnv, Sinks>,
    predecessor: Option<Predecessor>,
    supervisor: &Supervisor,
) -> StartError {
    if let Some(predecessor) = &predecessor {
        handle.ready().await;
        predecessor.lets_open().await;
        handle.open();
    }
    match handle.opened().await {
        Ok(()) => {
            if let Some(predecessor) = predecessor {
                predecessor.serves();
            }
            supervisor.ready();
            std::future::pending().await
        }
        Err(error) => error,
    }
}

/// How the router is started.
struct Starting {
    workers: usize,
    watchdog: Option<Watchdog>,
    sockets: Vec<(Arc<str>, OwnedFd)>,
    takes_over: bool,
}

async fn start(
    env: &TokioEnv,
    path: &str,
    config: &Config,
    starting: Starting,
    sink: Sinks,
) -> Result<Handle<TokioEnv, Sinks>, Exit> {
    let provider = Provider::default();
    let watchdog = starting.watchdog;
    let mut router = Router::builder(
        env.clone(),
        config.router.clone(),
        provider.crypto,
        provider.time,
        sink,
    )
    .workers(starting.workers)
    .share_addresses(config.share_addresses)
    .open_wait(config.open_wait)
    .sockets(starting.sockets);
    if starting.takes_over {
        router = router.takes_over();
    }
    router
        .start_on(|worker| on_own_thread(worker, watchdog.clone()))
        .await
        .map_err(|error| cannot_start(&error, path, config))
}

/// The exit code: 1 for a configuration with mistakes, otherwise the code for a command that
/// failed.
fn cannot_start(error: &StartError, path: &str, config: &Config) -> Exit {
    let StartError::Settings(refused) = error else {
        return failed(error);
    };
    complain(config.stated.located(path, &refused.findings));
    complain(format_args!(
        "\nThe router doesn't start. `cellway check --config {path}` shows warnings too."
    ));
    Exit::No
}

/// Gives a worker its own thread and runtime. If that fails, the worker is dropped, and the
/// router's start reports it.
fn on_own_thread(worker: Worker<TokioEnv, Sinks>, watchdog: Option<Watchdog>) {
    let name = format!("worker-{}", worker.index());
    // This isn't `Env::spawn`, because a worker needs its own runtime for its tasks.
    let started =
        thread::Builder::new().name(name).spawn(move || {
            match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(async {
                    if let Some(watchdog) = watchdog {
                        TokioEnv::new().spawn(watchdog.beat(worker.index()));
                    }
                    worker.run().await;
                }),
                Err(error) => drop(failed(format!("can't start a worker: {error}"))),
            }
        });
    if let Err(error) = started {
        failed(format!("can't start a thread for a worker: {error}"));
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
