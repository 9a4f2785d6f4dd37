//! The progress of a sweep, on standard error: a bar on a terminal, otherwise a line now and then.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use super::output;

/// The time between two lines without a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
const BAR_WIDTH: usize = 30;

/// When it is over.
#[derive(Clone, Copy)]
pub(super) enum Goal {
    /// After so many runs.
    Runs(usize),
    /// After so much real time.
    Time(Duration),
}

pub(super) struct Progress {
    goal: Goal,
    done: usize,
    failed: usize,
    started: Instant,
    last_line: Instant,
    terminal: bool,
}

impl Progress {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a sweep takes is real time"
    )]
    pub(super) fn new(goal: Goal) -> Self {
        let now = Instant::now();
        Self {
            goal,
            done: 0,
            failed: 0,
            started: now,
            last_line: now,
            terminal: stderr().is_terminal(),
        }
    }

    /// One more run has ended.
    pub(super) fn step(&mut self, passed: bool) {
        self.done += 1;
        self.failed += usize::from(!passed);
        if self.terminal {
            self.draw();
        } else if self.last_line.elapsed() >= LINE_EVERY || self.share() >= 1.0 {
            #[expect(
                clippy::disallowed_methods,
                reason = "how long a sweep takes is real time"
            )]
            let now = Instant::now();
            self.last_line = now;
            output::complain(&format!("{}\n", self.words()));
        }
    }

    /// Real time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Clears the bar, so that something else can be printed.
    pub(super) fn clear(&self) {
        if self.terminal {
            output::complain("\r\x1b[K");
        }
    }

    /// How much is done, from 0 to 1.
    fn share(&self) -> f64 {
        match self.goal {
            Goal::Runs(total) => self.done as f64 / total.max(1) as f64,
            Goal::Time(time) => self.started.elapsed().as_secs_f64() / time.as_secs_f64(),
        }
    }

    fn draw(&self) {
        let filled = (BAR_WIDTH as f64 * self.share().min(1.0)) as usize;
        let bar = format!("{}{}", "#".repeat(filled), "-".repeat(BAR_WIDTH - filled));
        output::complain(&format!("\r[{bar}] {}\x1b[K", self.words()));
    }

    fn words(&self) -> String {
        let Self { done, failed, .. } = self;
        let elapsed = self.started.elapsed().as_secs_f64();
        let (of, left) = match self.goal {
            Goal::Runs(total) => {
                let left = total.saturating_sub(*done) as f64;
                (format!("/{total}"), elapsed / (*done).max(1) as f64 * left)
            }
            Goal::Time(time) => (String::new(), (time.as_secs_f64() - elapsed).max(0.0)),
        };
        format!("{done}{of} runs, {failed} failed, {left:.0} s left")
    }
}
