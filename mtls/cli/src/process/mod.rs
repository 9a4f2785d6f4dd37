//! Figures of this process from `/proc` (proc(5)).

use std::fs;

use cellway_router::metrics::Process;
use rustix::process::{Resource, getrlimit};

/// The unit of times in `/proc` (`USER_HZ`): hundredths of a second for every program, independent
/// of the kernel's own clock. Prometheus' libraries rely on it too.
const TICKS_PER_SECOND: u64 = 100;

/// The process's figures. `None` if there is no `/proc`, or if it has another format.
pub(crate) fn read() -> Option<Process> {
    let file = |path: &str| fs::read_to_string(path).ok();
    let stat = Stat::parse(&file("/proc/self/stat")?)?;
    let status = file("/proc/self/status")?;
    let boot_secs = line(&file("/proc/stat")?, "btime ")?;
    // One of them is the open folder itself.
    let open_fds = fs::read_dir("/proc/self/fd").ok()?.count().checked_sub(1)?;
    Some(Process {
        cpu_centis: stat.cpu_ticks,
        resident_bytes: line(&status, "VmRSS:")?.checked_mul(1024)?,
        virtual_bytes: stat.virtual_bytes,
        open_fds: u64::try_from(open_fds).ok()?,
        max_fds: getrlimit(Resource::Nofile).current,
        started_centis: boot_secs.checked_mul(TICKS_PER_SECOND)? + stat.start_ticks,
        threads: stat.threads,
    })
}

/// Some fields of `/proc/self/stat`.
#[derive(PartialEq, Eq, Debug)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// Since the system started.
    start_ticks: u64,
    virtual_bytes: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may have any characters.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        // The manual numbers the fields from 1, and this is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
        })
    }
}

/// The number on the line that starts with `begin`.
fn line(text: &str, begin: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(begin))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests;
