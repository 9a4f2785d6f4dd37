//! Files from Kubernetes volumes: links to `..data`, which is swapped as a whole.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::serving::{Serving, get};
use crate::{CONFIG, Folder, run, sealing};

/// A volume in this folder.
struct Volume(PathBuf);

impl Volume {
    fn new(folder: &Folder, name: &str) -> Self {
        let volume = Self(folder.root().join(name));
        fs::create_dir_all(&volume.0).unwrap();
        fs::set_permissions(&volume.0, Permissions::from_mode(0o1777)).unwrap();
        volume
    }

    /// Replaces the files with these, as the kubelet does.
    fn swap(&self, version: &str, mode: u32, files: &[(&str, &[u8])]) {
        let folder = self.0.join(version);
        fs::create_dir_all(&folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
            fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
            let link = self.0.join(name);
            if !link.is_symlink() {
                symlink(Path::new("..data").join(name), link).unwrap();
            }
        }
        symlink(version, self.0.join("..data_tmp")).unwrap();
        fs::rename(self.0.join("..data_tmp"), self.0.join("..data")).unwrap();
    }
}

/// A private key and an index that names it.
fn sealing_key(kid: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = Folder::new();
    folder.write("cellway.toml", sealing("jws"));
    let (code, _, said) = run(&["envelope-key", "new", "-c", &folder.config(), "--kid", kid]);
    assert_eq!(code, 0, "{said}");
    let read = |name: &str| fs::read(folder.root().join("sealing").join(name)).unwrap();
    (read(&format!("{kid}.pem")), read("keys.toml"))
}

#[test]
fn keys_come_from_a_secret_and_are_swapped_while_the_router_runs() {
    let folder = Folder::new();
    let config = sealing("jws").replace(
        "to = \"stdout\"",
        "to = \"stdout\"\nsubject_key = \"logs/key\"",
    );
    folder.write("cellway.toml", &config);
    Volume::new(&folder, "logs").swap("..1", 0o400, &[("key", &[7; 32])]);
    let keys = Volume::new(&folder, "sealing");
    let (pem, index) = sealing_key("k1");
    keys.swap("..1", 0o400, &[("k1.pem", &pem), ("keys.toml", &index)]);

    // Files are checked every second, because pods get no SIGHUP.
    let watch = [("CELLWAY__RUNTIME__WATCH_SECS", "1")];
    let mut serving = Serving::with(&folder.config(), &watch);
    let public = serving.address("local");
    let page = || get(&public, "/.well-known/cellway/jwks.json");
    assert!(page().contains("\"kid\":\"k1\""), "{}", page());
    serving.reload();

    let (pem, index) = sealing_key("k2");
    keys.swap("..2", 0o400, &[("k2.pem", &pem), ("keys.toml", &index)]);
    serving.wait("reloaded");
    assert!(page().contains("\"kid\":\"k2\""), "{}", page());

    // With a key that everybody can read, the old key stays in force.
    keys.swap("..3", 0o444, &[("k2.pem", &pem), ("keys.toml", &index)]);
    let refused = serving.wait("reload_refused");
    let error = refused["error"].as_str().unwrap();
    assert!(
        error.contains("..3/k2.pem can be read by others"),
        "{error}"
    );
    assert!(page().contains("\"kid\":\"k2\""), "{}", page());
}

#[test]
fn a_configuration_from_a_config_map_is_reloaded_when_it_is_swapped() {
    let folder = Folder::new();
    let volume = Volume::new(&folder, "etc");
    let at = |text: &str| {
        text.replace("\"keys.json\"", "\"../keys.json\"")
            .replace("\"registry.json\"", "\"../registry.json\"")
    };
    volume.swap("..1", 0o644, &[("cellway.toml", at(CONFIG).as_bytes())]);
    let config = volume.0.join("cellway.toml").display().to_string();
    let watch = [("CELLWAY__RUNTIME__WATCH_SECS", "1")];
    let mut serving = Serving::with(&config, &watch);
    serving.address("local");
    serving.reload();
    // The length is the same, so only the inode and the time differ.
    let other = at(CONFIG).replace("idp.example", "idq.example");
    volume.swap("..2", 0o644, &[("cellway.toml", other.as_bytes())]);
    serving.wait("reloaded");
}
