//! Identity envelopes, from the router's side: the folder of keys, sealing, and the page on which
//! the public keys are published. What an envelope is, and how a cell verifies one, is
//! [`cellway_core::envelope`].
//!
//! All replicas of a router read the same folder, and put what it says in force without a restart.
//! A folder that can't be used is refused whole, and the keys before stay.

mod files;
mod index;
mod page;
mod sealer;
mod shared;
mod status;

pub use self::files::{key_file, secret_text, signing_pem};
pub use self::index::{INDEX, Index, IndexKey};
pub(crate) use self::page::{Page, is_asked, page};
pub(crate) use self::sealer::{SealRefused, Sealed, Sealer, files};
pub use self::sealer::{check, check_next};
pub use self::status::EnvelopeStatus;
pub(crate) use self::status::without_key;
pub use crate::observe::log::rfc3339;
