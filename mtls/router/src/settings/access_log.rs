//! `[log.access]`: which requests the access log has.

/// Which requests have a line in the access log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// Those that fail.
    Errors,
    /// Those that fail, and a sample of the others.
    Sampled {
        /// One of this many of the others. At least 1.
        one_in: u32,
    },
    /// All.
    Full,
}
