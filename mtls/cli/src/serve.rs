//! `cellway serve`

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_env::{Clock, Env};
use cellway_router::admin::Admin;
use cellway_router::config::{Config, Output};
use cellway_router::event::{Event, Sink, Startup};
use cellway_router::log::{Flush, Log, LogControl, LogError};
use cellway_router::metrics::{Counting, Metrics};
use cellway_router::reload::{DrainInForce, Reloader};
use cellway_router::tls::Provider;
use cellway_router::{Handle, Router, StartError, Worker};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::input::{ConfigFile, variables};
use super::{Exit, complain, failed, process};

/// The arguments of `cellway serve`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Signals:
  SIGTERM, SIGINT  drain: /readyz fails at once; after runtime.drain_delay_secs the sockets close,
                   and requests in flight have runtime.drain_secs. A second one ends at once
  SIGHUP           read configuration, certificates, keys, bundles and registry again (a change of
                   the files does the same); a bad one leaves the old in force and says so

Examples:
  cellway serve --config cellway.toml
  CELLWAY__LOG__LEVEL=debug cellway serve -c cellway.toml

Exit codes: 0 drained, 1 the configuration has mistakes, 2 usage, 3 it can't start")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFile,
}

type Sinks = (Log, Counting);

/// Runs it.
pub(crate) fn run(args: &Args) -> Exit {
    // This thread runs the control task, the admin pages and signals. Each worker has its own
    // thread.
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error),
    };
    let (exit, flush) = runtime.block_on(until_signaled(args));
    // A thread that hangs in a file system must not keep the process.
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    // The log ends when the last task that writes to it ends.
    if let Some(flush) = flush {
        flush.within(FLUSH_MAX);
    }
    exit
}

/// Runs the router until it has drained. A signal ends a start that isn't complete.
async fn until_signaled(args: &Args) -> (Exit, Option<Flush>) {
    // First of all, because without a handler SIGHUP would end the process.
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return (failed(format!("can't listen for signals: {error}")), None),
    };
    let asked = Arc::new(Notify::new());
    let prepared = tokio::select! {
        biased;
        () = signals.end(&asked) => return (Exit::Ok, None),
        prepared = prepare(args) => prepared,
    };
    match prepared {
        Ok((env, config, log, flush)) => {
            let exit = serve(env, &args.config.path, config, log, (signals, asked)).await;
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
        .map_err(|error| no_log(&args.config.path, &error))?;
    Ok((env, config, log, flush))
}

fn open(to: Output) -> io::Result<Box<dyn Write + Send>> {
    Ok(match to {
        Output::Stderr => Box::new(io::stderr()),
        Output::Stdout => Box::new(io::stdout()),
    })
}

fn no_log(path: &str, error: &LogError) -> Exit {
    let problem = format!("{path}: {}: {error}", error.setting());
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

async fn serve(
    env: TokioEnv,
    path: &str,
    config: Config,
    log: LogControl,
    (mut signals, asked): (Signals, Arc<Notify>),
) -> Exit {
    let started = tokio::select! {
        biased;
        () = signals.end(&asked) => return Exit::Ok,
        started = start_all(env, path, config, log, Arc::clone(&asked)) => started,
    };
    let (handle, drain) = match started {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    tokio::select! {
        biased;
        () = signals.end(&asked) => {}
        // Another process took the address first, so there is nothing to drain.
        error = never_opened(&handle) => return failed(error),
    }
    tokio::select! {
        biased;
        _drained = handle.drain(drain.get()) => {}
        // A second signal ends the process at once.
        () = signals.end(&asked) => {}
    }
    Exit::Ok
}

/// Starts the router, its pages and its reloader, which reloads whenever `asked` is notified.
async fn start_all(
    env: TokioEnv,
    path: &str,
    config: Config,
    log: LogControl,
    asked: Arc<Notify>,
) -> Result<(Handle<TokioEnv, Sinks>, DrainInForce), Exit> {
    let metrics = Metrics::new();
    let metrics = metrics.with_log(log.lost()).with_process(process::read);
    let sink: Sinks = (log.log(), metrics.sink());
    let workers = config.workers.unwrap_or_else(cores);
    let startup = Startup {
        config: path,
        stated: &config.stated,
        workers,
    };
    let now = Clock::new(env.clone()).now();
    sink.emit(now, &Event::Starting(&startup));
    let admin = bind_admin(&env, &config).await?;
    let health = bind_health(&env, &config).await?;
    let handle = start(&env, path, &config, workers, sink.clone()).await?;
    for (listener, pages) in [("admin", admin), ("health", health)] {
        let Some(pages) = pages else { continue };
        let address = pages.address();
        let listening = Event::Listening { listener, address };
        sink.emit(handle.clock().now(), &listening);
        let (subject, metrics) = (handle.clone(), metrics.clone());
        env.spawn(async move { match pages.serve(subject, metrics).await {} });
    }
    let reloader = Reloader::new(&handle, path, variables, config);
    let drain = reloader.drain_times();
    env.spawn(reloader.with_log(log).run(asked));
    Ok((handle, drain))
}

/// Returns an error if the listeners can't open; otherwise it never returns.
async fn never_opened(handle: &Handle<TokioEnv, Sinks>) -> StartError {
    match handle.opened().await {
        Ok(()) => std::future::pending().await,
        Err(error) => error,
    }
}

async fn bind_admin(env: &TokioEnv, config: &Config) -> Result<Option<Admin<TokioEnv>>, Exit> {
    let Some(address) = config.admin else {
        return Ok(None);
    };
    let admin = Admin::bind(env.clone(), address)
        .await
        .map_err(|error| failed(format!("admin.bind: {error}")))?;
    Ok(Some(admin))
}

async fn bind_health(env: &TokioEnv, config: &Config) -> Result<Option<Admin<TokioEnv>>, Exit> {
    let Some(address) = config.health else {
        return Ok(None);
    };
    let health = Admin::bind_health(env.clone(), address)
        .await
        .map_err(|error| failed(format!("health.bind: {error}")))?;
    Ok(Some(health))
}

async fn start(
    env: &TokioEnv,
    path: &str,
    config: &Config,
    workers: usize,
    sink: Sinks,
) -> Result<Handle<TokioEnv, Sinks>, Exit> {
    let provider = Provider::default();
    Router::builder(
        env.clone(),
        config.router.clone(),
        provider.crypto,
        provider.time,
        sink,
    )
    .workers(workers)
    .share_addresses(config.share_addresses)
    .open_wait(config.open_wait)
    .start_on(on_own_thread)
    .await
    .map_err(|error| cannot_start(&error, path))
}

/// The exit code: 1 for a configuration with mistakes, otherwise the code for a command that
/// failed.
fn cannot_start(error: &StartError, path: &str) -> Exit {
    let StartError::Settings(refused) = error else {
        return failed(error);
    };
    for finding in &refused.findings {
        complain(format_args!("{path}: {finding}"));
    }
    complain(format_args!(
        "\nThe router doesn't start. `cellway check --config {path}` shows warnings too."
    ));
    Exit::No
}

/// Gives a worker its own thread and runtime. If that fails, the worker is dropped, and the
/// router's start reports it.
fn on_own_thread(worker: Worker<TokioEnv, Sinks>) {
    let name = format!("worker-{}", worker.index());
    // This isn't `Env::spawn`, because a worker needs its own runtime for its tasks.
    let started =
        thread::Builder::new().name(name).spawn(move || {
            match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(worker.run()),
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

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal that ends the process. Meanwhile, SIGHUP asks for a reload.
    async fn end(&mut self, reload: &Notify) {
        loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload.notify_one(),
            }
        }
    }
}
