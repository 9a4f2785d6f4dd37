//! Figures of the process, with the names that Prometheus' client libraries use.

use std::fmt;
use std::sync::Arc;

use super::render::Page;

/// What the operating system reports about the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process {
    /// User and system time, in hundredths of a second.
    pub cpu_centis: u64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// The most file descriptors that may be open. `None` if there is no limit.
    pub max_fds: Option<u64>,
    /// When it started, in hundredths of a second since the Unix epoch.
    pub started_centis: u64,
    /// The number of threads.
    pub threads: u64,
}

/// Reads the figures. The embedder passes this function in, because a simulated router is not a
/// process and has none.
#[derive(Clone)]
pub(super) struct Read(pub(super) Arc<dyn Fn() -> Option<Process> + Send + Sync>);

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Read")
    }
}

impl Page {
    pub(super) fn process(&mut self, process: &Process) {
        let rows = [
            (
                "process_cpu_seconds_total",
                "counter",
                "Total user and system CPU time spent in seconds.",
                Some(centis(process.cpu_centis)),
            ),
            (
                "process_resident_memory_bytes",
                "gauge",
                "Resident memory size in bytes.",
                Some(process.resident_bytes.to_string()),
            ),
            (
                "process_virtual_memory_bytes",
                "gauge",
                "Virtual memory size in bytes.",
                Some(process.virtual_bytes.to_string()),
            ),
            (
                "process_open_fds",
                "gauge",
                "Number of open file descriptors.",
                Some(process.open_fds.to_string()),
            ),
            (
                "process_max_fds",
                "gauge",
                "Maximum number of open file descriptors.",
                process.max_fds.map(|max| max.to_string()),
            ),
            (
                "process_start_time_seconds",
                "gauge",
                "Start time of the process since unix epoch in seconds.",
                Some(centis(process.started_centis)),
            ),
            (
                "process_threads",
                "gauge",
                "Number of OS threads in the process.",
                Some(process.threads.to_string()),
            ),
        ];
        for (name, kind, help, value) in rows {
            if let Some(value) = value {
                self.bare(name, kind, help, &value);
            }
        }
    }
}

fn centis(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
