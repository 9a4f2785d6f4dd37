use super::*;

fn read(store: &SimStore, privacy: Privacy) -> Result<Bytes, io::ErrorKind> {
    store.lock().read("f", 8, privacy).map_err(|e| e.kind())
}

#[test]
fn a_full_disk_keeps_the_old_content_and_a_torn_write_half_of_the_new() {
    let store = SimStore::new();
    store.put("f", "old");
    store.set_full(true);
    let refused = store.lock().replace("f", "new".into());
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(store.get("f").unwrap(), "old");

    store.set_full(false);
    store.tear_next_write();
    store.lock().replace("f", "123456".into()).unwrap();
    assert_eq!(store.get("f").unwrap(), "123");
    store.lock().replace("f", "123456".into()).unwrap();
    assert_eq!(store.get("f").unwrap(), "123456");
}

#[test]
fn reading_keeps_the_contract_of_the_seam() {
    let store = SimStore::new();
    assert_eq!(read(&store, Privacy::Any), Err(io::ErrorKind::NotFound));
    store.put("f", "nine byte");
    assert_eq!(read(&store, Privacy::Any), Err(io::ErrorKind::FileTooLarge));
    store.put("f", "short");
    store.make_foreign("f");
    assert_eq!(
        read(&store, Privacy::Own),
        Err(io::ErrorKind::PermissionDenied)
    );
    assert!(read(&store, Privacy::Any).is_ok());
}

/// As Kubernetes mounts a Secret: one link is swapped.
#[test]
fn a_folder_of_links_is_swapped_as_a_whole() {
    let store = SimStore::new();
    store.put("keys/..1/f", "one");
    store.put("keys/..2/f", "two");
    store.link("keys/..data", "..1");
    store.link("keys/f", "..data/f");
    let read = |privacy| {
        store
            .lock()
            .read("keys/f", 8, privacy)
            .map_err(|e| e.kind())
    };
    for privacy in [Privacy::Any, Privacy::Trusted, Privacy::Secret] {
        assert_eq!(read(privacy).unwrap(), "one");
    }
    assert_eq!(read(Privacy::Own), Err(io::ErrorKind::PermissionDenied));
    store.link("keys/..data", "..2");
    assert_eq!(read(Privacy::Secret).unwrap(), "two");
    store.make_foreign("keys/..2/f");
    assert_eq!(read(Privacy::Secret), Err(io::ErrorKind::PermissionDenied));
    store.link("keys/..data", "..data");
    assert!(read(Privacy::Any).is_err());
}
