//! How large a document may be, and how it is written.

/// The bounds of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistryLimits {
    /// The most bytes of a document.
    pub document_bytes_max: usize,
    /// The most cells.
    pub cells_max: usize,
    /// The most placements.
    pub placements_max: usize,
    /// The most tenants.
    pub tenants_max: usize,
    /// The most revocations.
    pub revocations_max: usize,
    /// The greatest loss of cells, and of tenants, from one version to the next, in percent.
    pub shrink_percent_max: u8,
}

impl RegistryLimits {
    /// The default limit of a document, in bytes. A tenant with an issuer and two roles takes about
    /// 130 bytes, so a million and a half of them fit. Reading a document needs memory of about two
    /// and a half times its size.
    pub const DOCUMENT_BYTES_DEFAULT: usize = 192 << 20;
}

impl Default for RegistryLimits {
    /// 192 MiB, 10,000 cells, 100,000 placements, 4,000,000 tenants, 1,000,000 revocations, 20 %.
    fn default() -> Self {
        Self {
            document_bytes_max: Self::DOCUMENT_BYTES_DEFAULT,
            cells_max: 10_000,
            placements_max: 100_000,
            tenants_max: 4_000_000,
            revocations_max: 1_000_000,
            shrink_percent_max: 20,
        }
    }
}

/// How a document is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RegistryFormat {
    /// JSON, on the wire and in files.
    #[default]
    Json,
    /// TOML, in files.
    Toml,
}
