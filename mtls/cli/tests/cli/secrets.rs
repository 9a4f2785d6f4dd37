//! Secrets that other users of the machine can read or write.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use crate::bad_files::good;
use crate::serving::Serving;
use crate::{Folder, run};

fn chmod(folder: &Folder, name: &str, mode: u32) {
    set_permissions(folder.path(name), Permissions::from_mode(mode)).unwrap();
}

/// The warnings of `check`.
fn warned(folder: &Folder) -> Vec<String> {
    let (_, _, err) = run(&["check", "-c", &folder.config()]);
    let lines = err.lines().filter(|line| line.contains("warning: "));
    lines.map(str::to_owned).collect()
}

/// Catches: a key in the hands of every user of the machine, without a word; and a word about keys
/// that are as private as other programs want them.
#[test]
fn a_secret_that_others_can_use_is_a_warning() {
    let folder = good(9);
    for (name, setting) in [
        ("server.key", "listener[1].tls.key"),
        ("router.key", "upstream.key"),
    ] {
        for (mode, said) in [
            (
                0o644,
                Some("can be read by every user of this machine (mode 0644)"),
            ),
            (0o602, Some("can be written by other users (mode 0602)")),
            (0o620, Some("can be written by other users (mode 0620)")),
            (
                0o666,
                Some("can be read and written by other users (mode 0666)"),
            ),
            (0o640, None),
            (0o400, None),
        ] {
            chmod(&folder, name, mode);
            let warned = warned(&folder);
            assert_eq!(warned.len(), usize::from(said.is_some()), "{warned:?}");
            if let Some(said) = said {
                let expected = format!("warning: {setting}: {} {said}", folder.path(name));
                assert!(warned[0].contains(&expected), "{expected} {warned:?}");
            }
        }
    }
    chmod(&folder, "server.key", 0o644);
    let mut serving = Serving::start(&folder.config());
    let warning = serving.wait("config_warning");
    assert_eq!(warning["setting"], "listener[1].tls.key");
}

#[test]
fn the_registrys_token_is_a_secret() {
    let folder = good(9);
    let config = folder.read("cellway.toml").replace(
        "file = \"registry.json\"",
        "url = \"https://127.0.0.1:9/manage/cells\"\ntoken_file = \"token\"",
    );
    folder.write("cellway.toml", config);
    folder.write_private("token", "secret");
    assert_eq!(warned(&folder), Vec::<String>::new());
    chmod(&folder, "token", 0o604);
    let warned = warned(&folder);
    assert!(
        warned[0].contains("warning: registry.token_file: "),
        "{warned:?}"
    );
}
