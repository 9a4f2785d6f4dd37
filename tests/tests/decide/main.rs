//! Tables of decisions: what they show, and that the router answers what they say.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

mod answers;
mod page;
mod reasons;
mod state;

use cellway_decide::{Decide, Decisions};
use cellway_tests::world::Folder;

/// The decisions of these cases, in a folder without keys, certificates or bundles.
fn decided(config: &str, registry: &str, cases: &str) -> Decisions {
    let folder = Folder::generate();
    folder.write("cellway.toml", config);
    folder.write("registry.json", registry);
    folder.write("cases.toml", cases);
    let decide = Decide::new(folder.path("cellway.toml"), folder.path("cases.toml"));
    let decide = decide.registry(folder.path("registry.json"));
    decide.run().unwrap_or_else(|error| panic!("{error}"))
}
