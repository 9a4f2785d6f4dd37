use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use cellway_testbed::Folder;

use super::*;

/// A folder as Kubernetes mounts a Secret: `key` leads to `..data/key`, `..data` to `..1`.
struct Mount(Folder);

impl Mount {
    fn new() -> Self {
        let mount = Self(Folder::generate());
        mount.fill("..1", "one");
        mount.lead("..1");
        symlink("..data/key", mount.path("key")).unwrap();
        mount.chmod("", 0o1777);
        mount
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.root().join(name)
    }

    fn fill(&self, folder: &str, secret: &str) {
        fs::create_dir_all(self.path(folder)).unwrap();
        self.chmod(folder, 0o755);
        let key = format!("{folder}/key");
        fs::write(self.path(&key), secret).unwrap();
        self.chmod(&key, 0o400);
    }

    /// Swaps all files at once, as the kubelet does.
    fn lead(&self, folder: &str) {
        symlink(folder, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn read(&self, wanted: Wanted) -> Result<String, String> {
        let mut text = String::new();
        let file = open(&self.path("key"), wanted);
        let read = file.and_then(|mut file| file.read_to_string(&mut text));
        read.map(|_| text).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(&self, why: &str) {
        let refused = self.read(Wanted::Unread).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}

/// Only root can change a file's owner, so as another user this tests less.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_mounted_secret_is_read_through_its_links_and_swapped_as_a_whole() {
    let mount = Mount::new();
    assert_eq!(mount.read(Wanted::Unread).unwrap(), "one");
    mount.fill("..2", "two");
    mount.lead("..2");
    assert_eq!(mount.read(Wanted::Unread).unwrap(), "two");
    // Links may lead by absolute paths, too, and through a parent.
    mount.lead(mount.path("..1").to_str().unwrap());
    assert_eq!(mount.read(Wanted::Unread).unwrap(), "one");
    let name = mount.0.root().file_name().unwrap().to_str().unwrap();
    mount.lead(&format!("../{name}/..2"));
    assert_eq!(mount.read(Wanted::Unread).unwrap(), "two");
}

#[test]
fn a_file_without_links_is_held_to_the_same() {
    let mount = Mount::new();
    let key = mount.path("..1").join("key");
    assert!(open(&key, Wanted::Unread).is_ok());
    mount.chmod("..1/key", 0o604);
    let refused = open(&key, Wanted::Unread).unwrap_err().to_string();
    assert!(refused.contains("can be read by others"), "{refused}");
    assert!(open(&key, Wanted::Unwritten).is_ok());
}

#[test]
fn what_others_could_have_written_or_read_is_refused() {
    let mount = Mount::new();
    for mode in [0o602, 0o620] {
        mount.chmod("..1/key", mode);
        mount.refused("..1/key can be written by others than its owner");
        assert!(mount.read(Wanted::Unwritten).is_err());
    }
    for mode in [0o604, 0o444] {
        mount.chmod("..1/key", mode);
        mount.refused("..1/key can be read by others than its owner");
        assert_eq!(mount.read(Wanted::Unwritten).unwrap(), "one");
    }
    // Kubernetes' `fsGroup` makes a file of root's readable to the router's group.
    mount.chmod("..1/key", 0o440);
    match is_root() {
        true => assert_eq!(mount.read(Wanted::Unread).unwrap(), "one"),
        false => mount.refused("can be read by others"),
    }
}

#[test]
fn a_folder_in_which_others_could_have_put_a_link_or_file_is_refused() {
    let mount = Mount::new();
    // The owner of the link counts, in a sticky folder.
    mount.chmod("", 0o777);
    mount.refused("is a folder that others can write");
    mount.chmod("", 0o1777);
    // The mode of the target's folder counts.
    for mode in [0o775, 0o757] {
        mount.chmod("..1", mode);
        mount.refused("..1 is a folder that others can write");
    }
    mount.chmod("..1", 0o755);
    assert!(mount.read(Wanted::Unread).is_ok());
}

#[test]
fn what_belongs_to_somebody_else_is_refused_wherever_it_is_on_the_way() {
    if !is_root() {
        return;
    }
    let mount = Mount::new();
    let give = |name: &str, user| {
        rustix::fs::chownat(
            CWD,
            mount.path(name),
            Some(rustix::process::Uid::from_raw(user)),
            None,
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .unwrap();
    };
    for name in ["key", "..data", "..1", "..1/key", ""] {
        give(name, 12_345);
        mount.refused("belongs to user 12345");
        give(name, 0);
        assert!(mount.read(Wanted::Unread).is_ok(), "{name}");
    }
    chown(mount.0.root(), Some(0), None).unwrap();
}

#[test]
fn links_in_a_circle_and_what_is_no_file_end() {
    let mount = Mount::new();
    mount.lead("..data");
    mount.refused("has more than 16 symbolic links");
    mount.lead("..1");
    fs::remove_file(mount.path("..1/key")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(mount.path("..1/key"))
        .status();
    assert!(made.unwrap().success());
    mount.refused("is not a plain file");
    fs::remove_file(mount.path("..1/key")).unwrap();
    let gone = open(&mount.path("key"), Wanted::Unread).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
}
