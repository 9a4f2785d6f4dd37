//! `cellway demo`: the router and everything around it in one process, on loopback.

use std::path::PathBuf;
use std::process::ExitCode;

/// The arguments of `cellway demo`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct DemoArgs {
    /// End after the table, with status 0 only if every row is as expected
    #[arg(long)]
    pub exit: bool,
    /// The router's port (a free one is chosen if absent)
    #[arg(long)]
    pub port: Option<u16>,
    /// Where to write configuration, certificates and tokens (a new temporary folder if absent)
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// Runs the demo to its end: after the table with `--exit`, else until Ctrl-C.
pub fn run(_args: &DemoArgs) -> ExitCode {
    ExitCode::FAILURE
}
