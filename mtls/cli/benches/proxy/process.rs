//! What the system says about a process.

use std::time::Duration;

/// CPU time that a process has used.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Cpu {
    /// Of the process with this id (proc(5), `/proc/PID/stat`, fields 14 and 15).
    pub(crate) fn of(process: u32) -> Self {
        let path = format!("/proc/{process}/stat");
        let stat = std::fs::read_to_string(path).expect("the router runs");
        // The second field is the program's name in parentheses, and may hold anything.
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // In hundredths of a second, on every Linux that programs see.
        let time =
            |field: usize| Duration::from_millis(10 * fields[field].parse::<u64>().expect("ticks"));
        Self {
            user: time(11),
            system: time(12),
        }
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
        }
    }
}

/// Memory of a process, in bytes (proc(5), `/proc/PID/status`).
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// How much it holds now.
    pub(crate) resident: u64,
    /// The most that it has held so far.
    pub(crate) peak: u64,
}

impl Memory {
    /// Of the process with this id.
    pub(crate) fn of(process: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        let status = status.expect("the router runs");
        let bytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let size = line.expect("a field of every process").trim();
            let kib = size.strip_suffix(" kB").and_then(|size| size.parse().ok());
            1024 * kib.unwrap_or(0_u64)
        };
        Self {
            resident: bytes("VmRSS:"),
            peak: bytes("VmHWM:"),
        }
    }
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
