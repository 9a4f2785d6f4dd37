//! A folder for the files of a test.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Credential;

/// A folder of this user among the system's temporary files, removed with the last clone of this value.
///
/// Its name is random, so that tests in different processes never share one. A test can do nothing
/// without its files, so the methods panic if the system refuses an operation.
#[derive(Clone, Debug)]
pub struct Folder(Arc<Owned>);

#[derive(Debug)]
struct Owned(PathBuf);

impl Drop for Owned {
    fn drop(&mut self) {
        // A file that can't be removed is left to the system, like every temporary file.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    /// Makes an empty folder with a random name.
    ///
    /// # Panics
    /// If it can't be made.
    pub fn generate() -> Self {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).expect("the system has entropy");
        let name = format!("cellway-test-{:016x}", u64::from_ne_bytes(random));
        let path = std::env::temp_dir().join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.expect("a folder can be made");
        Self(Arc::new(Owned(path)))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.0.0
    }

    /// The path of a file in it, as a configuration names it.
    pub fn path(&self, name: &str) -> String {
        self.root().join(name).display().to_string()
    }

    /// Writes a file, and creates the folders of its path.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.root().join(name);
        let folder = path.parent().expect("the folder itself is above it");
        fs::create_dir_all(folder).expect("a folder can be made");
        fs::write(path, content).expect("a file can be written");
    }

    /// Writes a certificate as `name.pem` and its key as `name.key`.
    ///
    /// # Panics
    /// If one of them can't be written.
    pub fn write_credential(&self, name: &str, credential: &Credential) {
        self.write(&format!("{name}.pem"), credential.pem());
        let key = credential.key.pem().expect("a good key");
        self.write_private(&format!("{name}.key"), key);
    }

    /// Writes a file that only its owner may read and write, as tools write keys and tokens.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write_private(&self, name: &str, content: impl AsRef<[u8]>) {
        self.write(name, content);
        let own = Permissions::from_mode(0o600);
        fs::set_permissions(self.path(name), own).expect("the owner may change the mode");
    }

    /// The text of a file.
    ///
    /// # Panics
    /// If it can't be read.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file can be read")
    }

    /// Whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        self.root().join(name).exists()
    }

    /// `text` without the folder's name, which differs in each run.
    pub fn strip(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.root().display()), "")
    }
}
