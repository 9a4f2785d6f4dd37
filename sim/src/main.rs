//! `cellway-sim`: runs scenarios from a terminal.

#![warn(
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm
)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
