//! A folder of a test's own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_testbed::Credential;

/// A folder among the system's temporary files, removed with the last clone of this value.
#[derive(Clone)]
pub struct Folder(Arc<Owned>);

struct Owned(PathBuf);

impl Drop for Owned {
    fn drop(&mut self) {
        // What can't be removed is the system's to clean, as everything temporary is.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    pub(super) fn new() -> Self {
        let mut random = [0; 8];
        TokioEnv::new().fill(&mut random);
        let name = format!("cellway-e2e-{:016x}", u64::from_ne_bytes(random));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder can be made");
        Self(Arc::new(Owned(path)))
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> String {
        self.0.0.join(name).display().to_string()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a file can be written");
    }

    /// Writes a certificate as `name.pem` and its key as `name.key`.
    pub fn write_credential(&self, name: &str, credential: &Credential) {
        self.write(&format!("{name}.pem"), credential.pem());
        let key = credential.key.pem().expect("a good key");
        self.write(&format!("{name}.key"), &key);
    }

    /// What a file holds.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file can be read")
    }

    /// Whether there is such a file.
    pub fn has(&self, name: &str) -> bool {
        self.0.0.join(name).exists()
    }

    /// `text` without the folder's name, which is another in each run.
    pub fn strip(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.0.display()), "")
    }
}
