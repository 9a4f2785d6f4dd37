//! Files that a configuration with mistakes names.

use std::io;

use cellway_env::{Env, Privacy, Store};

use super::examine::state_directory;
use crate::config::NamedFile;
use crate::envelope::index_of;
use crate::finding::{Finding, Findings};

/// Errors about the files that can't be read. What is in them can only be checked together with
/// settings that have no mistakes.
pub async fn unreadable<E: Env>(env: &E, files: &[NamedFile]) -> Vec<Finding> {
    let mut findings = Findings::default();
    for NamedFile { setting, path, .. } in files {
        match setting.as_str() {
            // Both are folders.
            "state.directory" => state_directory(env, path, &mut findings).await,
            "envelope.keys" => readable(env, setting, &index_of(path), &mut findings).await,
            _ => readable(env, setting, path, &mut findings).await,
        }
    }
    findings.into_vec()
}

async fn readable<E: Env>(env: &E, setting: &str, path: &str, findings: &mut Findings) {
    match env.store().read(path, 0, Privacy::Any).await {
        // It has content, which isn't read here.
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {}
        Ok(_) => {}
        Err(error) => {
            let problem = format!("{path} can't be read: {error}");
            findings.error(setting, problem, "check the path and its permissions");
        }
    }
}
