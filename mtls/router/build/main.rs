//! Tells the crate which commit it is built from: see [`commit`].

mod commit;

use std::env;
use std::path::Path;

/// Says the commit where there is no repository.
const VARIABLE: &str = "CELLWAY_COMMIT";

fn main() {
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let commit = match env::var(VARIABLE) {
        Ok(stated) if !stated.is_empty() => stated_commit(stated),
        _ => checked_out(),
    };
    let commit = commit.unwrap_or_else(|| commit::UNKNOWN.to_owned());
    println!("cargo:rustc-env=CELLWAY_BUILD_COMMIT={commit}");
}

fn stated_commit(stated: String) -> Option<String> {
    if commit::is_name(&stated) {
        return Some(stated);
    }
    println!("cargo:warning={VARIABLE} is not the name of a commit, and is not used");
    None
}

/// Only for optimized builds: after each commit cargo builds the crate anew to show another one, and
/// whoever works on the router would wait for that.
fn checked_out() -> Option<String> {
    if env::var("PROFILE").as_deref() != Ok("release") {
        return None;
    }
    let package = env::var_os("CARGO_MANIFEST_DIR")?;
    let found = commit::checked_out(&Path::new(&package).join("../../.git"))?;
    for file in &found.files {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    Some(found.commit)
}
