use std::os::unix::fs::{PermissionsExt, symlink};

use cellway_testbed::Folder;

use super::*;

#[test]
fn replaces_and_leaves_nothing_beside() {
    let folder = Folder::generate();
    let path = folder.root().join("state").join("keys");
    replace(&path, b"one").unwrap();
    let before = stat(&path).unwrap();
    replace(&path, b"other").unwrap();
    assert_eq!(&read(&path, 5, Privacy::Own).unwrap()[..], b"other");
    assert_ne!(stat(&path).unwrap(), before);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn refuses_what_is_too_large_and_says_so() {
    let folder = Folder::generate();
    let path = folder.root().join("file");
    fs::write(&path, b"12345").unwrap();
    let error = read(&path, 4, Privacy::Any).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn refuses_what_is_no_file() {
    let folder = Folder::generate();
    for (path, expected) in [
        (&*pipe(&folder), "is not a plain file"),
        (folder.root(), "is a folder, and must be a file"),
    ] {
        let error = read(path, 4, Privacy::Any).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

fn pipe(folder: &Folder) -> PathBuf {
    let path = folder.root().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path
}

/// Catches: a file that is exchanged for a pipe after its name was looked at. Opening it would never
/// return.
#[test]
fn opening_never_blocks() {
    let folder = Folder::generate();
    let error = open_plain(&pipe(&folder)).unwrap_err();
    assert_eq!(error.to_string(), "is not a plain file");
}

/// Catches: a file system that doesn't answer, and a caller that waits for it forever; or any number
/// of threads that hang in it, until none is left for other files.
#[tokio::test(start_paused = true)]
async fn an_operation_that_hangs_is_given_up() {
    let store = FileStore::default();
    // The clock stands still while a thread blocks.
    let pass = || tokio::time::advance(READ_MAX + Duration::from_millis(1));
    let hang = |ended: std::sync::mpsc::Receiver<()>| {
        move |_: &Path| {
            let _ = ended.recv();
            Ok(())
        }
    };
    let mut ends = Vec::new();
    for i in 0..OPERATIONS_MAX {
        let path = PathBuf::from(format!("{i}"));
        let (end, ended) = std::sync::mpsc::channel();
        let (given_up, ()) = tokio::join!(store.in_time(&path, hang(ended)), pass());
        assert_eq!(given_up.unwrap_err().kind(), io::ErrorKind::TimedOut);
        ends.push(end);
        // The next operation on the file fails at once, and takes no thread.
        let next = store.in_time(&path, |_| Ok(())).await;
        assert_eq!(next.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(store.permits.available_permits(), OPERATIONS_MAX - 1 - i);
    }
    // Another file gets no thread until one of them ends.
    let other = Path::new("other");
    let (next, ()) = tokio::join!(store.in_time(other, |_| Ok(())), pass());
    assert_eq!(next.unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop(ends);
    for path in ["0", "other"] {
        while lock(&store.hanging).contains(Path::new(path)) {
            tokio::task::yield_now().await;
        }
        assert!(store.in_time(Path::new(path), |_| Ok(())).await.is_ok());
    }
}

#[test]
fn refuses_state_that_others_may_have_written() {
    let folder = Folder::generate();
    let path = folder.root().join("file");
    replace(&path, b"good").unwrap();
    let link = folder.root().join("link");
    symlink(&path, &link).unwrap();
    let kind = |path: &Path| read(path, 10, Privacy::Own).unwrap_err().kind();
    assert_eq!(kind(&link), io::ErrorKind::PermissionDenied);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    assert_eq!(kind(&path), io::ErrorKind::PermissionDenied);
    assert!(read(&path, 10, Privacy::Any).is_ok());
}

#[test]
fn a_planted_link_is_not_written_through() {
    let folder = Folder::generate();
    let victim = folder.root().join("victim");
    fs::write(&victim, b"untouched").unwrap();
    symlink(&victim, folder.root().join(".file.new")).unwrap();
    replace(&folder.root().join("file"), b"state").unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
}
