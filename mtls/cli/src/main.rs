//! The `cellway` command: runs, checks and explains a router, and shows a demo.
//!
//! It only calls `cellway-router` and prints the results.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod allocator;
mod check;
mod decide;
mod demo;
mod envelope_key;
mod explain;
mod input;
mod process;
mod serve;
mod shell;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The exit code of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Exit {
    /// Success: the answer is yes.
    Ok = 0,
    /// The answer is no: the configuration has mistakes, the request is denied.
    No = 1,
    /// The command line is wrong, or doesn't fit the configuration. (clap uses the same code.)
    Usage = 2,
    /// The command can't be carried out: a file can't be read, an address can't be bound.
    Failed = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

const AFTER_HELP: &str = "\
Examples:
  cellway demo                          everything in one process, on loopback
  cellway check --config cellway.toml   every mistake, with line and what to do
  cellway serve --config cellway.toml
  cellway explain --config cellway.toml --token-file token.jwt --path /orders
  cellway decide --config cellway.toml --cases cases.toml --check decisions.txt
  cellway envelope-key new --config cellway.toml

Exit codes:
  0  all is well
  1  the answer is no: the configuration has mistakes, the request is denied,
     a decision differs, a row of the demo is not as expected
  2  the command line is not understood, or does not fit the configuration
  3  the command could not be carried out: a file can't be read, an address can't be bound";

#[derive(Parser, Debug)]
#[command(
    name = "cellway",
    version = cellway_router::build::LONG,
    about = "An edge router for cell-based architectures",
    long_about = "Cellway proves who is calling (JWT claims or mTLS SANs), decides which cell serves \
                  them, and proxies the request there.",
    after_help = AFTER_HELP
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the router until SIGTERM
    Serve(serve::Args),
    /// Check a configuration and every file that it names
    Check(check::Args),
    /// Explain step by step where a request would go and why, without sending anything to a cell
    Explain(Box<explain::Args>),
    /// Decide a file of cases, and compare the decisions with those that were accepted
    Decide(decide::Args),
    /// Make, show and remove the keys of identity envelopes
    EnvelopeKey(envelope_key::Args),
    /// Run a router and everything around it in one process, on loopback
    Demo(demo::DemoArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args).into(),
        Command::Check(args) => check::run(&args).into(),
        Command::Explain(args) => explain::run(&args).into(),
        Command::Decide(args) => decide::run(&args).into(),
        Command::EnvelopeKey(args) => envelope_key::run(&args).into(),
        Command::Demo(args) => demo::run(&args),
    }
}

/// Runs a command to its end. A thread that hangs in a file system doesn't keep the process.
fn block_on<T>(command: impl Future<Output = T>) -> io::Result<T> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    let done = runtime.block_on(command);
    runtime.shutdown_background();
    Ok(done)
}

/// Prints to standard error why a command can't be carried out.
fn failed(problem: impl std::fmt::Display) -> Exit {
    complain(format_args!("cellway: {problem}"));
    Exit::Failed
}

/// Prints to standard error what is wrong with the command line.
fn misused(problem: impl std::fmt::Display) -> Exit {
    complain(format_args!("cellway: {problem}"));
    Exit::Usage
}

/// Prints to standard error. If that fails, the exit code still tells the result.
fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a command's answer. The command ends with `exit`, or fails if the answer can't be
/// printed.
fn say(text: &str, exit: Exit) -> Exit {
    match print(text) {
        Ok(()) => exit,
        Err(error) => failed(format!("can't write to standard output: {error}")),
    }
}

/// Prints a line. If the reader is gone, it doesn't want more, so that isn't an error.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let printed = writeln!(out, "{text}").and_then(|()| out.flush());
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

#[cfg(test)]
mod tests;
