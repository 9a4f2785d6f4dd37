//! The router's side of identity envelopes: the folder of keys, sealing, and the page that
//! publishes the public keys. [`cellway_core::envelope`] explains what an envelope is and how a
//! cell verifies it.
//!
//! All replicas of a router read the same folder, and use its new keys without a restart. If one
//! file can't be used, the whole folder is refused and the previous keys stay in use.

mod files;
mod index;
mod page;
mod sealer;
mod shared;
mod status;

pub use self::files::{key_file, secret_text, signing_pem};
pub use self::index::{INDEX, Index, IndexKey};
pub(crate) use self::page::{Page, is_asked, page};
pub(crate) use self::sealer::{SealError, Sealed, Sealer, files, index_of};
pub use self::sealer::{check, check_next};
pub use self::status::EnvelopeStatus;
pub(crate) use self::status::without_key;
pub use crate::rfc3339::rfc3339;
