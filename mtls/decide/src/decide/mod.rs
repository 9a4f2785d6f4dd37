//! From files to decisions.

mod outage;
mod requests;
mod scene;
mod world;

use std::fs;
use std::path::Path;

use bytes::Bytes;
use cellway_core::policy::Policy;
use cellway_core::registry::Registry;
use cellway_router::config::{Config, Tables};
use cellway_router::settings::{RegistryLocation, RouterSettings};

use self::requests::requests;
use self::world::World;
use crate::cases::{Cases, meant};
use crate::error::DecideError;
use crate::table::Decisions;

/// Decides every case of the file `cases` under the configuration `config`. It reads these two files and
/// the registry, and no environment variable. Relative paths start in the working directory, which in a
/// test is the package's folder.
///
/// # Errors
/// [`DecideError`].
pub fn decisions(
    config: impl AsRef<Path>,
    cases: impl AsRef<Path>,
) -> Result<Decisions, DecideError> {
    Decide::new(config, cases).run()
}

/// What to decide, and with which files.
#[derive(Clone, Debug)]
pub struct Decide {
    config: String,
    cases: String,
    /// The text of the cases, if it isn't in the file.
    cases_text: Option<String>,
    registry: Option<String>,
    variables: Vec<(String, String)>,
}

impl Decide {
    /// The cases of one file under the configuration in another.
    pub fn new(config: impl AsRef<Path>, cases: impl AsRef<Path>) -> Self {
        let name = |path: &Path| path.to_string_lossy().into_owned();
        Self {
            config: name(config.as_ref()),
            cases: name(cases.as_ref()),
            cases_text: None,
            registry: None,
            variables: Vec::new(),
        }
    }

    /// Takes the registry from this file, whatever the other two say.
    #[must_use]
    pub fn registry(self, file: impl Into<String>) -> Self {
        Self {
            registry: Some(file.into()),
            ..self
        }
    }

    /// Decides the cases in this text, which is written as a file of cases. Mistakes still name the file.
    #[must_use]
    pub fn cases_text(self, text: impl Into<String>) -> Self {
        Self {
            cases_text: Some(text.into()),
            ..self
        }
    }

    /// Overrides settings of the configuration with those of these environment variables that begin with
    /// `CELLWAY__`.
    #[must_use]
    pub fn variables(self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables.into_iter().collect(),
            ..self
        }
    }

    /// Decides every case.
    ///
    /// # Errors
    /// [`DecideError`].
    pub fn run(&self) -> Result<Decisions, DecideError> {
        let config = Config::load(&self.config, &read(&self.config)?, self.variables.clone())?;
        let text = match &self.cases_text {
            Some(text) => text.clone(),
            None => read(&self.cases)?,
        };
        let (cases, mut mistakes) = Tables::read::<Cases>(&self.cases, &text)?;
        cases.check_names(&mut mistakes);
        let now = cases.now(&mut mistakes);
        let mut settings = config.router;
        let mut world = World::new(&settings, now)?;
        let callers = world.callers(&settings, &cases, &mut mistakes)?;
        let requests = requests(&settings, &cases, &mut mistakes);
        check_issuers(&settings.policy, &cases, &mut mistakes);
        mistakes.check()?;
        self.registry_of(&cases, &mut settings, &mut world)?;
        let scene = world.scene(settings, &cases, &mut mistakes)?;
        mistakes.check()?;
        scene.table(&cases, &callers, &requests)
    }

    /// Puts the registry's file in place of its source, with other keys of cells.
    fn registry_of(
        &self,
        cases: &Cases,
        settings: &mut RouterSettings,
        world: &mut World,
    ) -> Result<(), DecideError> {
        let own = cases.registry.as_deref().map(|file| {
            let folder = Path::new(&self.cases).parent();
            let path = folder.map_or_else(|| file.into(), |folder| folder.join(file));
            path.to_string_lossy().into_owned()
        });
        let location = &mut settings.sources.registry.location;
        if let Some(file) = self.registry.clone().or(own) {
            *location = RegistryLocation::File(file);
        }
        let (source, body) = match location {
            RegistryLocation::File(file) => (file.clone(), Bytes::from(read(file)?)),
            RegistryLocation::Text(body) => ("the registry".to_owned(), body.clone()),
            RegistryLocation::Http { url, .. } => {
                let problem = "is a control plane, and nothing is fetched here; name a file with \
                               --registry, or with `registry` in the file of cases";
                return Err(DecideError::Registry {
                    source: url.to_string(),
                    problem: problem.to_owned(),
                });
            }
        };
        let refused = |problem: String| DecideError::Registry {
            source: source.clone(),
            problem,
        };
        let format = location.format();
        let limits = &settings.sources.registry.limits;
        Registry::parse(&body, format, None, limits).map_err(|error| refused(error.to_string()))?;
        // A document without keys of cells stays as it is, however large.
        let annotation = settings.policy.cba.annotation.as_deref();
        let text = String::from_utf8_lossy(&body);
        match annotation.filter(|annotation| text.contains(*annotation)) {
            None => {
                world.files.insert(source, body.clone());
            }
            Some(annotation) => {
                let body = world.rekeyed(&text, format, annotation, &settings.policy)?;
                *location = RegistryLocation::Text(body);
            }
        }
        Ok(())
    }
}

fn check_issuers(policy: &Policy, cases: &Cases, mistakes: &mut Tables) {
    for (at, name) in cases.unreachable_issuers.iter().enumerate() {
        if policy.issuer_named(name).is_none() {
            let names = policy.issuers.iter().map(|issuer| issuer.name.as_str());
            let problem = format!("no [[issuer]] has the name {name:?}");
            let setting = format!("unreachable_issuers[{at}]");
            mistakes.mistake(&setting, problem, meant(name, names));
        }
    }
}

fn read(file: &str) -> Result<String, DecideError> {
    let failed = |error| DecideError::Read {
        file: file.to_owned(),
        error,
    };
    fs::read_to_string(file).map_err(failed)
}
