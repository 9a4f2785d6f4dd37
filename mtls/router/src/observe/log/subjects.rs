//! How subjects are shown in logs: hashed, unless the configuration says otherwise.

use std::fmt;

use aws_lc_rs::hmac;

use cellway_env::{Env, Privacy, Store};

use crate::settings::SubjectForm;

/// The least and the most bytes of a key from a file.
const KEY_LEN_MIN: usize = 32;
const KEY_LEN_MAX: usize = 1024;

/// How many bytes of a hash are shown. This is enough to tell all subjects of a fleet apart.
const SHOWN: usize = 16;

/// Shows subjects.
#[derive(Clone, Default)]
pub enum Subjects {
    /// Not at all.
    #[default]
    Off,
    /// As they are, in the field `subject`.
    Raw,
    /// As HMAC-SHA256 with this key, in the field `subject_hash`. Lines about one subject can be
    /// found, but nobody without the key can find out the subject by trying names.
    Hash(Box<hmac::Key>),
}

impl Subjects {
    /// Loads what is configured. With a key from `file`, all routers of a fleet show the same hash
    /// for a subject. Without a file, this run uses a random key.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub async fn load<E: Env>(
        env: &E,
        form: SubjectForm,
        file: Option<&str>,
    ) -> Result<Self, String> {
        match (form, file) {
            (SubjectForm::Off, _) => Ok(Self::Off),
            (SubjectForm::Raw, _) => Ok(Self::Raw),
            (SubjectForm::Hash, None) => {
                let mut key = [0; KEY_LEN_MIN];
                env.fill(&mut key);
                Ok(Self::with_key(&key))
            }
            (SubjectForm::Hash, Some(file)) => {
                let read = env.store().read(file, KEY_LEN_MAX, Privacy::Secret).await;
                let key = read.map_err(|error| format!("{file}: {error}"))?;
                let key = key.trim_ascii_end();
                if key.len() < KEY_LEN_MIN {
                    return Err(format!(
                        "{file}: has {} bytes; it must have at least {KEY_LEN_MIN}",
                        key.len()
                    ));
                }
                Ok(Self::with_key(key))
            }
        }
    }

    /// Hashes with this key.
    pub fn with_key(key: &[u8]) -> Self {
        Self::Hash(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The name of the field and its value. `subject` is written as its issuer writes it.
    pub(super) fn show(&self, subject: &str) -> Option<(&'static str, String)> {
        match self {
            Self::Off => None,
            Self::Raw => Some(("subject", subject.to_owned())),
            Self::Hash(key) => {
                let hash = hmac::sign(key, subject.as_bytes());
                let shown = hash.as_ref().iter().take(SHOWN);
                let hex: String = shown.map(|byte| format!("{byte:02x}")).collect();
                Some(("subject_hash", hex))
            }
        }
    }
}

/// Leaves out the key.
impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Raw => "Raw",
            Self::Hash(_) => "Hash",
        })
    }
}
