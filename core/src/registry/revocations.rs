//! The registry's revocations: credentials that verify but must be refused.
//!
//! They are indexed by the names in a credential. A lookup takes the same time for any number of
//! entries, and is skipped if there are no entries of its kind.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;
use hashbrown::{Equivalent, HashMap};
use serde::{Deserialize, Deserializer};

use super::error::Mistakes;
use crate::text::Text;

/// The entries of a registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// A fixed hash, as for tenants: strangers can't insert entries.
    entries: HashMap<Key, Cutoff, FixedHash>,
    /// Revokes every credential, of all callers.
    everybody: Option<u64>,
    /// The kinds that have entries, one bit each.
    kinds: u8,
}

/// Which credentials an entry names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    /// One token: its issuer and `jti`.
    Token,
    /// A subject of a tenant.
    TenantSubject,
    /// A subject of an issuer or trust domain.
    IssuerSubject,
    /// All of a tenant.
    Tenant,
    /// All of an issuer or trust domain.
    Issuer,
}

/// Which credentials are revoked, by their time of issue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cutoff {
    /// All of them.
    Always,
    /// Those issued before this time, in seconds since 1970.
    Before(u64),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    kind: Kind,
    /// The issuer or tenant.
    of: Box<str>,
    /// The `jti` or subject; empty for all.
    name: Box<str>,
}

/// A [`Key`] to look up.
#[derive(Hash)]
struct KeyRef<'a> {
    kind: Kind,
    of: &'a str,
    name: &'a str,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.kind == key.kind && *self.of == *key.of && *self.name == *key.name
    }
}

/// A fixed hash, so that equal documents have equal indexes.
#[derive(Clone, Copy, Debug, Default)]
struct FixedHash;

impl BuildHasher for FixedHash {
    type Hasher = <FixedState as BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        FixedState::with_seed(0).build_hasher()
    }
}

impl Cutoff {
    /// Whether it revokes a credential issued at this time. A credential without a time is treated
    /// as old.
    fn reaches(self, issued_at: Option<u64>) -> bool {
        match self {
            Self::Always => true,
            Self::Before(time) => issued_at.is_none_or(|issued_at| issued_at < time),
        }
    }
}

impl Revocations {
    /// The most bytes of an entry's `jti`.
    pub const JTI_LEN_MAX: usize = 1024;

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len() + usize::from(self.everybody.is_some())
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.kinds == 0 && self.everybody.is_none()
    }

    /// The issuers and trust domains that entries name, in order.
    pub(crate) fn issuers(&self) -> BTreeSet<&str> {
        let of_issuers = |key: &&Key| match key.kind {
            Kind::Token | Kind::IssuerSubject | Kind::Issuer => true,
            Kind::TenantSubject | Kind::Tenant => false,
        };
        let keys = self.entries.keys().filter(of_issuers);
        keys.map(|key| &*key.of).collect()
    }

    /// Whether an entry of this kind revokes a credential that was issued at this time.
    pub(crate) fn revokes(&self, kind: Kind, of: &str, name: &str, issued_at: Option<u64>) -> bool {
        if self.kinds & kind.bit() == 0 {
            return false;
        }
        let cutoff = self.entries.get(&KeyRef { kind, of, name });
        cutoff.is_some_and(|cutoff| cutoff.reaches(issued_at))
    }

    /// Whether all credentials issued at this time are revoked.
    pub(crate) fn revokes_everybody(&self, issued_at: Option<u64>) -> bool {
        self.everybody
            .is_some_and(|time| Cutoff::Before(time).reaches(issued_at))
    }
}

/// Shows only the number, because subjects must not be logged.
impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Kind {
    fn bit(self) -> u8 {
        1 << match self {
            Self::Token => 0,
            Self::TenantSubject => 1,
            Self::IssuerSubject => 2,
            Self::Tenant => 3,
            Self::Issuer => 4,
        }
    }
}

/// One entry as a document writes it.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table of jti, sub, tenant, issuer or issued_before"
)]
pub(super) struct RawRevocation {
    #[serde(default, deserialize_with = "required_if_present")]
    jti: Option<String>,
    #[serde(default, deserialize_with = "required_if_present")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "required_if_present")]
    tenant: Option<String>,
    #[serde(default, deserialize_with = "required_if_present")]
    issuer: Option<String>,
    #[serde(default, deserialize_with = "required_if_present")]
    issued_before: Option<u64>,
}

/// A member that must not be `null`: an entry with fewer names revokes more.
fn required_if_present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// The first second of the year 10000. A later time is probably in milliseconds.
const TIME_END: u64 = 253_402_300_800;

/// Checks the entries and indexes them.
pub(super) fn read(raw: Vec<RawRevocation>, mistakes: &mut Mistakes) -> Revocations {
    let mut revocations = Revocations::default();
    for (at, entry) in raw.into_iter().enumerate() {
        let read = match entry.read() {
            Ok(read) => read,
            Err(why) => {
                mistakes.invalid(format!("revocations[{at}]{why}"));
                continue;
            }
        };
        let twice = match read {
            Read::Everybody(time) => revocations.everybody.replace(time).is_some(),
            Read::Named(key, cutoff) => {
                revocations.kinds |= key.kind.bit();
                revocations.entries.insert(key, cutoff).is_some()
            }
        };
        if twice {
            let why =
                " has the same target as another entry; keep the one with the later issued_before";
            mistakes.invalid(format!("revocations[{at}]{why}"));
        }
    }
    revocations
}

enum Read {
    Everybody(u64),
    Named(Key, Cutoff),
}

impl RawRevocation {
    fn read(self) -> Result<Read, String> {
        let Self {
            jti,
            sub,
            tenant,
            issuer,
            issued_before,
        } = self;
        for (member, value) in [("tenant", &tenant), ("issuer", &issuer)] {
            if let Some(value) = value {
                Text::check(value).map_err(|why| format!(".{member} {why}"))?;
            }
        }
        // Stored encoded, as in identities, so that a lookup needs no decoding.
        let sub = sub.map(|sub| Text::encode(&sub)).transpose();
        let sub = sub.map_err(|why| format!(".sub {why}"))?;
        let sub = sub.map(|sub| sub.as_str().to_owned());
        if issued_before.is_some_and(|time| time == 0 || time >= TIME_END) {
            let why = "is not a time in seconds since 1970, before the year 10000";
            return Err(format!(".issued_before {why}"));
        }
        let cutoff = issued_before.map_or(Cutoff::Always, Cutoff::Before);
        let named = |kind, of: String, name: String| {
            let (of, name) = (of.into(), name.into());
            Ok(Read::Named(Key { kind, of, name }, cutoff))
        };
        match (jti, sub, tenant, issuer) {
            (Some(jti), None, None, Some(issuer)) if issued_before.is_none() => {
                if jti.is_empty() || jti.len() > Revocations::JTI_LEN_MAX {
                    let most = Revocations::JTI_LEN_MAX;
                    return Err(format!(".jti must have 1 to {most} bytes"));
                }
                named(Kind::Token, issuer, jti)
            }
            (Some(_), ..) => Err(" has a jti, so it must have an issuer and nothing else".into()),
            (None, Some(sub), Some(tenant), None) => named(Kind::TenantSubject, tenant, sub),
            (None, Some(sub), None, Some(issuer)) => named(Kind::IssuerSubject, issuer, sub),
            (None, Some(_), ..) => {
                Err(" has a sub, so it must have either a tenant or an issuer".into())
            }
            (None, None, Some(tenant), None) => named(Kind::Tenant, tenant, String::new()),
            (None, None, Some(_), Some(_)) => {
                Err(" has a tenant and an issuer; keep one of them".into())
            }
            (None, None, None, Some(issuer)) if issued_before.is_some() => {
                named(Kind::Issuer, issuer, String::new())
            }
            (None, None, None, Some(_)) => Err(
                " revokes all of an issuer, and needs issued_before; to reject an issuer \
                 completely, remove it from the configuration"
                    .into(),
            ),
            (None, None, None, None) => match issued_before {
                Some(time) => Ok(Read::Everybody(time)),
                None => Err(" is empty".into()),
            },
        }
    }
}
