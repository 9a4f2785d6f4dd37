//! Decisions as snapshots: who may do what, and which cell serves them, as a table to review.
//!
//! A file of cases lists callers and requests. For each pair the router's own code decides, from your
//! `cellway.toml` and registry. No secret is needed: the credentials in the cases are signed with keys that
//! are made here, and these keys take the place of the configured ones. So the whole verification runs.
//!
//! With [insta](https://insta.rs), a test of your own has three lines:
//!
//! ```
//! # let folder = cellway_testbed::Folder::generate();
//! # folder.write("cellway.toml", cellway_testbed::sample::CONFIG);
//! # folder.write("registry.json", cellway_testbed::sample::REGISTRY);
//! # folder.write("cases.toml", r#"
//! # [[caller]]
//! # name = "acme"
//! # token = { claims = { tenant_id = "acme" } }
//! # [[request]]
//! # name = "home"
//! # "#);
//! # let (config, cases) = (folder.path("cellway.toml"), folder.path("cases.toml"));
//! let decisions = cellway_decide::decisions(config, cases)?;
//! // insta::assert_snapshot!(decisions);
//! # assert!(decisions.to_string().contains("acme      home      allow     verified"), "{decisions}");
//! # Ok::<(), cellway_decide::DecideError>(())
//! ```
//!
//! `cellway decide` is the same as a command. `docs/decide.md` has every key of the file.
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cases;
mod credentials;
mod decide;
mod error;
mod made;
mod table;

pub use decide::{Decide, decisions};
pub use error::DecideError;
pub use table::{Comparison, Decisions, Form, Row, TableRefused};
