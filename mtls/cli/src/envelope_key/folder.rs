//! The key folder, which one command at a time locks.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Privacy, Store};
use cellway_router::envelope::{INDEX, Index, IndexKey, check, check_next, key_file};
use cellway_router::settings::EnvelopeSettings;

use crate::{Exit, failed};

/// A folder of keys, locked while this value exists.
pub(super) struct Folder<'a> {
    pub(super) settings: &'a EnvelopeSettings,
    pub(super) index: Index,
    env: &'a TokioEnv,
    path: PathBuf,
    /// Locked until this file is closed.
    _lock: File,
}

impl<'a> Folder<'a> {
    /// Reads the folder. With `make`, creates it if it doesn't exist.
    pub(super) async fn open(
        env: &'a TokioEnv,
        settings: &'a EnvelopeSettings,
        make: bool,
    ) -> Result<Self, Exit> {
        let path = PathBuf::from(&settings.keys);
        let shown = path.display();
        if make {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|error| failed(format!("can't make {shown}: {error}")))?;
        }
        let lock = File::open(&path);
        let lock = lock.map_err(|error| failed(format!("can't read {shown}: {error}")))?;
        let locked = lock.try_lock();
        locked.map_err(|_| {
            let advice = "wait for it, and try again";
            failed(format!("another command works on {shown}; {advice}"))
        })?;
        let file = path.join(INDEX).display().to_string();
        let text = env.store().read(&file, Index::BYTES_MAX, Privacy::Own);
        let index = match text.await {
            Ok(text) => Index::parse(&text).map_err(|error| failed(format!("{file}: {error}")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Index::default(),
            Err(error) => return Err(failed(format!("{file}: can't be used: {error}"))),
        };
        Ok(Self {
            settings,
            index,
            env,
            path,
            _lock: lock,
        })
    }

    /// Checks that routers would accept the folder as it is, if it has any key.
    pub(super) async fn check(&self) -> Result<(), Exit> {
        if self.index.keys.is_empty() {
            return Ok(());
        }
        let now = self.env.unix_now();
        check(self.env, self.settings, now).await.map_err(failed)
    }

    /// Whether there is a key of this id, in use or not.
    pub(super) fn has(&self, kid: &str) -> bool {
        let named = self.index.keys.iter().any(|key| key.kid == kid);
        named || fs::symlink_metadata(self.file(kid)).is_ok()
    }

    /// Writes a key's file, and then the index that names it, so a router never reads a name
    /// without a file. Returns the file's path.
    ///
    /// If routers accept the folder now, the change is made only if they still would. A folder that
    /// they refuse already isn't checked, because it may have to be repaired cell by cell.
    pub(super) async fn add(&self, kid: &str, text: String, index: &Index) -> Result<String, Exit> {
        let now = self.env.unix_now();
        let empty = self.index.keys.is_empty();
        let good = empty || check(self.env, self.settings, now).await.is_ok();
        let file = self.file(kid).display().to_string();
        let written = self.env.store().replace(&file, text.into()).await;
        written.map_err(|error| failed(format!("can't write {file}: {error}")))?;
        let next = match good {
            true => check_next(self.env, self.settings, index, now).await,
            false => Ok(()),
        };
        let written = match next {
            Ok(()) => self.write(index).await,
            Err(refused) => Err(failed(refused)),
        };
        if let Err(exit) = written {
            let _ = fs::remove_file(&file);
            return Err(exit);
        }
        Ok(file)
    }

    /// Replaces the whole index.
    pub(super) async fn write(&self, index: &Index) -> Result<(), Exit> {
        let file = self.path.join(INDEX).display().to_string();
        let written = self.env.store().replace(&file, index.render().into()).await;
        written.map_err(|error| failed(format!("can't write {file}: {error}")))
    }

    /// Removes the files of keys that the index no longer names.
    pub(super) fn remove(&self, keys: &[IndexKey]) -> Result<(), Exit> {
        for key in keys {
            let file = self.file(&key.kid);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let file = file.display();
                    let advice = "no router uses this file any more; remove it by hand";
                    return Err(failed(format!("can't remove {file}: {error}; {advice}")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Files of keys that the index doesn't name: somebody put them there, or a command was cut
    /// short.
    pub(super) fn strays(&self) -> impl Iterator<Item = String> {
        let named = self.index.keys.iter();
        let named: Vec<_> = named.map(|key| self.file(&key.kid)).collect();
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let kind = |path: &Path| {
            let ending = path.extension().and_then(|ending| ending.to_str());
            matches!(ending, Some("pem" | "key"))
        };
        let mut files: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| kind(path) && !named.contains(path))
            .map(|path| path.display().to_string())
            .collect();
        files.sort();
        files.into_iter()
    }

    fn file(&self, kid: &str) -> PathBuf {
        self.path.join(key_file(self.settings.form, kid))
    }
}
