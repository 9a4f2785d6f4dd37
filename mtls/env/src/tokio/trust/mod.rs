//! Opens files that no other user can have written, replaced or read, also through symbolic links.
//!
//! Kubernetes mounts a Secret as links: `key` leads to `..data/key`, and `..data` to a folder that
//! is replaced as a whole. So a link alone is no reason to refuse. What matters is the file that it
//! leads to, and each folder on the way, because somebody could have put another link or file
//! there. The path is walked step by step on open folders, so that nothing can be swapped between
//! check and use.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};

/// Most links on the way to one file. Kubernetes needs two.
const LINKS_MAX: usize = 16;
/// Most tries if a link leads to a missing file: the folder may just have been replaced.
const TRIES_MAX: usize = 3;

/// What other users must not be able to do with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// Write it.
    Unwritten,
    /// Write or read it.
    Unread,
}

/// Opens a file after all checks.
///
/// # Errors
/// `PermissionDenied` says what is wrong, and with which file or folder if it isn't the path
/// itself. Otherwise the system's error.
pub(super) fn open(path: &Path, wanted: Wanted) -> io::Result<File> {
    let mut tries = 1;
    loop {
        let mut walk = Walk::start(path)?;
        match walk.reach(wanted) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && walk.links > 0
                    && tries < TRIES_MAX =>
            {
                tries += 1;
            }
            opened => return opened,
        }
    }
}

/// A walk along a path through folders and links.
struct Walk {
    /// The current folder.
    folder: OwnedFd,
    /// The current folder's path, for messages.
    name: PathBuf,
    /// The remaining steps, the next one last.
    steps: Vec<OsString>,
    links: usize,
}

impl Walk {
    fn start(path: &Path) -> io::Result<Self> {
        let mut walk = Self {
            folder: folder(CWD, OsStr::new("."))?,
            name: PathBuf::new(),
            steps: Vec::new(),
            links: 0,
        };
        walk.turn(path)?;
        Ok(walk)
    }

    /// Puts the steps of this path before the remaining ones.
    fn turn(&mut self, path: &Path) -> io::Result<()> {
        for component in path.components().rev() {
            match component {
                Component::RootDir => {
                    self.folder = folder(CWD, OsStr::new("/"))?;
                    self.name = PathBuf::from("/");
                }
                Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir => self.steps.push("..".into()),
                Component::Normal(name) => self.steps.push(name.to_owned()),
            }
        }
        Ok(())
    }

    fn reach(&mut self, wanted: Wanted) -> io::Result<File> {
        loop {
            let Some(step) = self.steps.pop() else {
                return Err(plain_only());
            };
            let last = self.steps.is_empty();
            // The folders above the named one are the operator's responsibility, as for any
            // program. From the first link on, each folder is checked, because the path could be
            // redirected there.
            if last || self.links > 0 {
                self.check_folder()?;
            }
            let found = statat(&self.folder, &step, AtFlags::SYMLINK_NOFOLLOW)?;
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the system's enum: any other kind of file is refused"
            )]
            match FileType::from_raw_mode(found.st_mode) {
                FileType::Symlink => self.follow(&step, &found)?,
                FileType::Directory if !last => {
                    self.folder = folder(&self.folder, &step)?;
                    self.name.push(&step);
                }
                FileType::RegularFile if last => return self.open(&step, wanted),
                _ => return Err(plain_only()),
            }
        }
    }

    fn follow(&mut self, step: &OsStr, link: &Stat) -> io::Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(io::Error::other(format!(
                "has more than {LINKS_MAX} symbolic links on its way"
            )));
        }
        self.check_folder()?;
        check_owner(Some(&self.name.join(step)), link.st_uid)?;
        let target = readlinkat(&self.folder, step, Vec::new())?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        self.turn(&target)
    }

    /// Checks that other users can't create or remove files in the current folder.
    fn check_folder(&self) -> io::Result<()> {
        let stat = fstat(&self.folder)?;
        let name = match self.name.as_os_str().is_empty() {
            true => Path::new("."),
            false => &self.name,
        };
        check_owner(Some(name), stat.st_uid)?;
        // In a sticky folder, others can't replace files that they don't own, and each owner is
        // checked.
        let sticky = stat.st_mode & 0o1000 != 0;
        if stat.st_mode & 0o022 != 0 && !sticky {
            let advice = "is a folder that others can write; run chmod 700 on it";
            return Err(denied(Some(name), advice));
        }
        Ok(())
    }

    fn open(&self, step: &OsStr, wanted: Wanted) -> io::Result<File> {
        // Non-blocking, in case it has been replaced by a pipe.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, step, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        let name = self.name.join(step);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(plain_only());
        }
        // The caller names the file. If links led elsewhere, name the file that they lead to.
        let name = (self.links > 0).then_some(&*name);
        check_owner(name, stat.st_uid)?;
        if stat.st_mode & 0o022 != 0 {
            return Err(denied(name, "can be written by others than its owner"));
        }
        if wanted == Wanted::Unread && stat.st_mode & readable(stat.st_uid) != 0 {
            let advice = "can be read by others than its owner; chmod 600 (640 where root owns it; \
                          defaultMode: 0400 for a Kubernetes Secret)";
            return Err(denied(name, advice));
        }
        Ok(File::from(file))
    }
}

/// The mode bits that a secret must not have. If root owns the file, its group may read it:
/// Kubernetes gives files to the router this way (`fsGroup`), and a router that isn't root has no
/// other way.
fn readable(owner: u32) -> u32 {
    match owner {
        0 => 0o007,
        _ => 0o077,
    }
}

fn folder(at: impl std::os::fd::AsFd, step: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, step, flags, Mode::empty())?)
}

/// Whether this user may own the file. Root can do everything that the router can.
fn trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

fn check_owner(name: Option<&Path>, owner: u32) -> io::Result<()> {
    if trusted(owner) {
        return Ok(());
    }
    let own = rustix::process::geteuid().as_raw();
    let why = format!("belongs to user {owner}, and the router is {own}");
    Err(denied(name, &why))
}

/// What is wrong, and with which file or folder unless that is the path itself.
fn denied(name: Option<&Path>, why: &str) -> io::Error {
    let problem = match name {
        Some(name) => format!("{} {why}", name.display()),
        None => why.to_owned(),
    };
    io::Error::new(io::ErrorKind::PermissionDenied, problem)
}

fn plain_only() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "is not a plain file")
}

#[cfg(test)]
mod tests;
