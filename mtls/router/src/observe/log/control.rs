//! The log of a process. A reload may change its level, its output and how subjects are shown.

use std::fmt;
use std::io::{self, Write};

use cellway_env::Env;

use super::{Flush, Log, LogWriter, Lost, SubjectForm, Subjects};
use crate::config::LogTable;
use crate::settings::Output;

/// Opens an output for lines.
type Open = dyn Fn(Output) -> io::Result<Box<dyn Write + Send>> + Send + Sync;

/// A log, with everything needed to change its settings.
pub struct LogControl {
    log: Log,
    settings: LogTable,
    open: Box<Open>,
}

/// Leaves out the function that opens outputs, which can't be shown.
impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// New settings of a log, with everything that they need, so that applying them can't fail.
#[derive(Debug)]
pub(crate) struct LogChange {
    settings: LogTable,
    /// `None` if they stay as before.
    subjects: Option<Subjects>,
    writer: Option<LogWriter>,
    access: Option<LogWriter>,
}

impl LogChange {
    /// The new output, if it changes.
    pub(crate) fn moves_to(&self) -> Option<Output> {
        self.writer.as_ref().map(|_| self.settings.to)
    }
}

impl LogControl {
    /// Starts a log with these settings. `open` opens the output that they name, now and whenever a
    /// reload names another one.
    ///
    /// # Errors
    /// The setting that can't be used.
    pub async fn start<E: Env>(
        env: &E,
        settings: LogTable,
        open: impl Fn(Output) -> io::Result<Box<dyn Write + Send>> + Send + Sync + 'static,
    ) -> Result<(Self, Flush), LogError> {
        let subjects = subjects(env, &settings).await?;
        let started = open(settings.to).and_then(LogWriter::start);
        let (writer, flush) = started.map_err(|error| LogError::Place {
            setting: TO,
            to: settings.to,
            error,
        })?;
        let mut control = Self {
            log: Log::new(settings.level, writer).with_subjects(subjects),
            settings,
            open: Box::new(open),
        };
        let to = access_to(&control.settings);
        if to != control.settings.to {
            control.log = control
                .log
                .clone()
                .with_access(control.writer(ACCESS_TO, to)?);
        }
        Ok((control, flush))
    }

    /// The log. A later change applies to all clones.
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// The counter of lost lines.
    pub fn lost(&self) -> Lost {
        self.log.lost()
    }

    /// Prepares what new settings need, and changes nothing yet.
    ///
    /// # Errors
    /// The setting that can't be used.
    pub(crate) async fn prepare<E: Env>(
        &self,
        env: &E,
        settings: &LogTable,
    ) -> Result<LogChange, LogError> {
        let old = &self.settings;
        let own_key =
            |table: &LogTable| table.subject == SubjectForm::Hash && table.subject_key.is_none();
        let subjects = match own_key(old) && own_key(settings) {
            // A new random key would change every hash for no reason.
            true => None,
            false => Some(subjects(env, settings).await?),
        };
        let writer = match settings.to == old.to {
            true => None,
            false => Some(self.writer(TO, settings.to)?),
        };
        let to = access_to(settings);
        let access = if to == settings.to {
            // One writer for both, so that their lines don't mix.
            Some(writer.clone().unwrap_or_else(|| self.log.writer()))
        } else if to == access_to(old) && old.to != to {
            None
        } else {
            Some(self.writer(ACCESS_TO, to)?)
        };
        Ok(LogChange {
            settings: settings.clone(),
            subjects,
            writer,
            access,
        })
    }

    /// Starts a writer to the output that a setting names.
    fn writer(&self, setting: &'static str, to: Output) -> Result<LogWriter, LogError> {
        let opened = (self.open)(to).and_then(|out| self.log.writer_to(out));
        opened.map_err(|error| LogError::Place { setting, to, error })
    }

    /// Applies new settings to every line from now on. Earlier lines are still written to the old
    /// output.
    pub(crate) fn commit(&mut self, change: LogChange) {
        let LogChange {
            settings,
            subjects,
            writer,
            access,
        } = change;
        self.log.change(settings.level, |output| {
            output.subjects = subjects.unwrap_or_else(|| output.subjects.clone());
            output.writer = writer.unwrap_or_else(|| output.writer.clone());
            output.access = access.unwrap_or_else(|| output.access.clone());
        });
        self.settings = settings;
    }
}

/// Where lines go, and where those of the access log go if not there too.
const TO: &str = "log.to";
const ACCESS_TO: &str = "log.access.to";

/// Where lines of the access log go.
fn access_to(settings: &LogTable) -> Output {
    settings.access.to.unwrap_or(settings.to)
}

/// Loads how subjects are shown under these settings.
///
/// # Errors
/// The key's file can't be used.
pub async fn subjects<E: Env>(env: &E, settings: &LogTable) -> Result<Subjects, LogError> {
    let loaded = Subjects::load(env, settings.subject, settings.subject_key.as_deref()).await;
    loaded.map_err(LogError::SubjectKey)
}

/// Why a log can't use its settings.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// The file of `log.subject_key` can't be used; the text says why.
    SubjectKey(String),
    /// An output can't be opened, or the system can't start the thread that writes to it.
    Place {
        /// The setting that names the output.
        setting: &'static str,
        /// The output.
        to: Output,
        /// The system's error.
        error: io::Error,
    },
}

impl LogError {
    /// The setting that can't be used.
    pub fn setting(&self) -> &'static str {
        match self {
            Self::SubjectKey(_) => "log.subject_key",
            Self::Place { setting, .. } => setting,
        }
    }
}

/// The problem, without the setting's name.
impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubjectKey(problem) => f.write_str(problem),
            Self::Place { to, error, .. } => write!(f, "can't write to {}: {error}", to.as_str()),
        }
    }
}

impl std::error::Error for LogError {}
