//! Client certificates.
/// The leaf of a verified chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerCertificate {}
