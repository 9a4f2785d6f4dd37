//! The keys in use, and sealing with them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::envelope::{
    EnvelopeContents, HmacStamps, KeyRing, LEN_MAX, RingEntry, RingTiming, is_kid, seal,
    seal_compatible, seal_hmac,
};
use cellway_core::{Mono, Now, Text, Unix};
use cellway_env::{Env, Privacy, Store};
use http::HeaderValue;

use super::files::{key_file, shared_key, signing_key};
use super::index::{INDEX, Index, IndexKey};
use super::shared::{SHARED_KEYS_MAX, SharedKeys};
use crate::settings::{EnvelopeForm, EnvelopeSettings};
use crate::tls::MaterialError;

/// The most bytes of a key's file.
const KEY_BYTES_MAX: usize = 4 * 1024;
/// How often a folder is read again if it changes meanwhile.
const TRIES_MAX: usize = 3;

/// Seals envelopes with the keys in force.
#[derive(Debug)]
pub(crate) struct Sealer {
    pub(super) issuer: Box<str>,
    pub(super) lifetime: Duration,
    pub(super) keys: Keys,
}

#[derive(Debug)]
pub(super) enum Keys {
    Jws(KeyRing),
    Shared(SharedForm, SharedKeys),
}

/// The forms whose keys are shared with cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SharedForm {
    Hmac,
    Compatible,
}

/// An envelope, and the id of the key that sealed it.
pub(crate) enum Sealed<'a> {
    Jws(&'a str, HeaderValue),
    Hmac(&'a str, HmacStamps),
    Compatible(&'a str, HmacStamps),
}

impl Sealed<'_> {
    /// The id of the key.
    pub(crate) fn kid(&self) -> &str {
        match self {
            Self::Jws(kid, _) | Self::Hmac(kid, _) | Self::Compatible(kid, _) => kid,
        }
    }
}

/// Why a request that needs an envelope gets none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SealError {
    /// The router shares no key with its cell.
    NoKey,
    /// It would be larger than verifiers accept.
    TooLarge,
}

impl Sealer {
    /// Reads the folder that the settings name. `before` is the sealer in force until now. A key
    /// that it doesn't have signs only when services have had time to fetch it.
    ///
    /// # Errors
    /// Which file can't be used, and why.
    pub(crate) async fn load<E: Env>(
        env: &E,
        settings: &EnvelopeSettings,
        now: Now,
        before: Option<&Self>,
    ) -> Result<Self, MaterialError> {
        let index = path(settings, INDEX);
        let refuse = |problem: String| MaterialError {
            source: index.clone(),
            problem,
        };
        let mut tries = 1;
        loop {
            let seen = match env.store().stat(&index).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let advice = "run `cellway envelope-key new -c FILE` to make the first key";
                    return Err(refuse(format!("can't be used: {error}; {advice}")));
                }
                stat => stat.ok(),
            };
            let text = read(env, &index, Index::BYTES_MAX, Privacy::Trusted).await?;
            let entries = Index::parse(&text).map_err(refuse)?;
            let loaded = Self::of(env, settings, &entries, now, before).await;
            // Somebody may replace the whole folder between reading the index and the keys. Then
            // the two don't match.
            let same = seen == env.store().stat(&index).await.ok();
            if same || tries == TRIES_MAX {
                return loaded;
            }
            tries += 1;
        }
    }

    /// Reads the key files that an index names. The index itself may not be in the folder yet.
    async fn of<E: Env>(
        env: &E,
        settings: &EnvelopeSettings,
        entries: &Index,
        now: Now,
        before: Option<&Self>,
    ) -> Result<Self, MaterialError> {
        let refuse = |problem: String| MaterialError {
            source: path(settings, INDEX),
            problem,
        };
        check_index(settings.form, entries).map_err(refuse)?;
        let form = match settings.form {
            EnvelopeForm::Jws => None,
            EnvelopeForm::Hmac => Some(SharedForm::Hmac),
            EnvelopeForm::Compatible => Some(SharedForm::Compatible),
        };
        let keys = match form {
            None => {
                let mut ring = Vec::with_capacity(entries.keys.len());
                for entry in &entries.keys {
                    ring.push(ring_entry(env, settings, entry).await?);
                }
                let timing = RingTiming {
                    max_age: settings.jwks_max_age,
                    lifetime: settings.lifetime,
                };
                let before = before.and_then(Self::ring);
                let ring = KeyRing::new(ring, timing, now, before);
                Keys::Jws(ring.map_err(|refused| refuse(refused.to_string()))?)
            }
            Some(form) => {
                let mut keys = Vec::with_capacity(entries.keys.len());
                for entry in &entries.keys {
                    let (file, text) = secret(env, settings, entry).await?;
                    let cell = entry.cell.as_deref().unwrap_or_default();
                    let key = shared_key(&entry.kid, cell, &text);
                    let key = key.map_err(|refused| unusable(file, refused))?;
                    keys.push((Unix::from_secs(entry.sign_from), key));
                }
                Keys::Shared(form, SharedKeys::new(keys).map_err(refuse)?)
            }
        };
        Ok(Self {
            issuer: settings.issuer.clone(),
            lifetime: settings.lifetime,
            keys,
        })
    }

    /// The issuer that its envelopes name.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// How long its envelopes are valid.
    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The form of its envelopes.
    pub(crate) fn form(&self) -> EnvelopeForm {
        match self.keys {
            Keys::Jws(_) => EnvelopeForm::Jws,
            Keys::Shared(SharedForm::Hmac, _) => EnvelopeForm::Hmac,
            Keys::Shared(SharedForm::Compatible, _) => EnvelopeForm::Compatible,
        }
    }

    /// The id of the key that seals for this cell now. `None` if there is none.
    pub(crate) fn kid(&self, cell: &Text, now: Now) -> Option<&str> {
        match &self.keys {
            Keys::Jws(ring) => Some(ring.signing(now).kid()),
            Keys::Shared(_, keys) => keys.of(cell, now.unix).map(|key| key.kid()),
        }
    }

    /// Seals an envelope.
    ///
    /// # Errors
    /// The envelope can't be made. The request must not be sent without it.
    pub(crate) fn seal(
        &self,
        sealing: &EnvelopeContents<'_>,
        now: Now,
    ) -> Result<Sealed<'_>, SealError> {
        match &self.keys {
            Keys::Jws(ring) => {
                let key = ring.signing(now);
                let value = seal(key, sealing);
                fits([&value])?;
                Ok(Sealed::Jws(key.kid(), value))
            }
            Keys::Shared(form, keys) => {
                let key = keys.of(sealing.cell, now.unix).ok_or(SealError::NoKey)?;
                let sealed = match form {
                    SharedForm::Hmac => Sealed::Hmac(key.kid(), seal_hmac(key, sealing)),
                    SharedForm::Compatible => {
                        Sealed::Compatible(key.kid(), seal_compatible(key, sealing))
                    }
                };
                if let Sealed::Hmac(_, values) | Sealed::Compatible(_, values) = &sealed {
                    fits(values)?;
                }
                Ok(sealed)
            }
        }
    }

    /// The signing keys, if the form has any.
    pub(super) fn ring(&self) -> Option<&KeyRing> {
        match &self.keys {
            Keys::Jws(ring) => Some(ring),
            Keys::Shared(..) => None,
        }
    }
}

/// Checks that a router that starts now could use the folder that the settings name.
///
/// # Errors
/// Which file can't be used, and why.
pub async fn check<E: Env>(
    env: &E,
    settings: &EnvelopeSettings,
    now: Unix,
) -> Result<(), MaterialError> {
    let mono = Mono::default();
    let now = Now { mono, unix: now };
    Sealer::load(env, settings, now, None).await.map(|_| ())
}

/// Checks that a router could use the folder if it had this index.
///
/// # Errors
/// Which file can't be used, and why.
pub async fn check_next<E: Env>(
    env: &E,
    settings: &EnvelopeSettings,
    index: &Index,
    now: Unix,
) -> Result<(), MaterialError> {
    let mono = Mono::default();
    let now = Now { mono, unix: now };
    let sealer = Sealer::of(env, settings, index, now, None).await;
    sealer.map(|_| ())
}

/// The index in a folder of keys.
pub(crate) fn index_of(keys: &str) -> String {
    format!("{}/{INDEX}", keys.trim_end_matches('/'))
}

/// All files whose changes need a reload: the index, and the files that it names.
pub(crate) async fn files<E: Env>(env: &E, settings: &EnvelopeSettings) -> BTreeSet<String> {
    let index = path(settings, INDEX);
    let text = env.store().read(&index, Index::BYTES_MAX, Privacy::Any);
    let index_keys = text.await.ok().and_then(|text| Index::parse(&text).ok());
    let keys = index_keys.into_iter().flat_map(|index| index.keys);
    let named = keys.filter(|key| is_kid(&key.kid)).take(SHARED_KEYS_MAX);
    let file = |key: IndexKey| path(settings, &key_file(settings.form, &key.kid));
    named.map(file).chain([index]).collect()
}

/// Checks an index, before the names in it are used as file names.
fn check_index(form: EnvelopeForm, index: &Index) -> Result<(), String> {
    let most = match form {
        EnvelopeForm::Jws => KeyRing::KEYS_MAX,
        EnvelopeForm::Hmac | EnvelopeForm::Compatible => SHARED_KEYS_MAX,
    };
    if index.keys.len() > most {
        return Err(format!("names more than {most} keys"));
    }
    for key in &index.keys {
        let kid = &key.kid;
        if !is_kid(kid) {
            let shown: String = kid.escape_debug().take(80).collect();
            return Err(format!(
                "has a kid `{shown}`; give 1 to 64 letters, digits, `-`, `_` or `.`"
            ));
        }
        match (form.is_shared(), &key.cell) {
            (false, None) | (true, Some(_)) => {}
            (false, Some(_)) => {
                return Err(format!(
                    "key `{kid}` belongs to one cell, but envelope.form is `jws`; use a separate \
                     folder for each form"
                ));
            }
            (true, None) => {
                return Err(format!(
                    "key `{kid}` names no cell, but envelope.form is `{}`; use a separate folder \
                     for each form",
                    form.as_str()
                ));
            }
        }
    }
    Ok(())
}

async fn ring_entry<E: Env>(
    env: &E,
    settings: &EnvelopeSettings,
    entry: &IndexKey,
) -> Result<RingEntry, MaterialError> {
    let (file, pem) = secret(env, settings, entry).await?;
    let key = signing_key(&entry.kid, &pem).map_err(|refused| unusable(file, refused))?;
    Ok(RingEntry {
        key: Arc::new(key),
        added: Unix::from_secs(entry.added),
        sign_from: Unix::from_secs(entry.sign_from),
    })
}

async fn secret<E: Env>(
    env: &E,
    settings: &EnvelopeSettings,
    entry: &IndexKey,
) -> Result<(String, bytes::Bytes), MaterialError> {
    let file = path(settings, &key_file(settings.form, &entry.kid));
    let text = read(env, &file, KEY_BYTES_MAX, Privacy::Secret).await?;
    Ok((file, text))
}

async fn read<E: Env>(
    env: &E,
    file: &str,
    limit: usize,
    privacy: Privacy,
) -> Result<bytes::Bytes, MaterialError> {
    let read = env.store().read(file, limit, privacy).await;
    read.map_err(|error| unusable(file.to_owned(), format_args!("can't be used: {error}")))
}

fn unusable(source: String, problem: impl std::fmt::Display) -> MaterialError {
    MaterialError {
        source,
        problem: problem.to_string(),
    }
}

fn path(settings: &EnvelopeSettings, name: &str) -> String {
    format!("{}/{name}", settings.keys.trim_end_matches('/'))
}

/// Checks that verifiers accept the values. They refuse an empty value or one that is too long.
fn fits<'a>(values: impl IntoIterator<Item = &'a HeaderValue>) -> Result<(), SealError> {
    let sound = |value: &HeaderValue| (1..=LEN_MAX).contains(&value.len());
    match values.into_iter().all(sound) {
        true => Ok(()),
        false => Err(SealError::TooLarge),
    }
}
