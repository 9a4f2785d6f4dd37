//! The version and commit of this build.

/// The version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The first digits of the commit that it was built from: the commit that git had checked out, or
/// the value of `CELLWAY_COMMIT` during the build. `unknown` if there is neither, and in builds
/// without optimization.
pub const COMMIT: &str = env!("CELLWAY_BUILD_COMMIT");

/// The version and the commit, for `--version`.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("CELLWAY_BUILD_COMMIT"),
    ")"
);

#[cfg(test)]
#[path = "../../build/commit.rs"]
#[allow(unreachable_pub, reason = "the build script has it, too")]
mod commit;

#[cfg(test)]
mod tests;
