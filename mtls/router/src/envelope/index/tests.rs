use super::*;

fn key(kid: &str, cell: Option<&str>, sign_from: u64) -> IndexKey {
    IndexKey {
        kid: kid.to_owned(),
        cell: cell.map(str::to_owned),
        added: 1_800_000_000,
        sign_from: 1_800_000_000 + sign_from,
    }
}

fn at(secs: u64) -> Unix {
    Unix::from_secs(1_800_000_000 + secs)
}

#[test]
fn what_is_written_is_read_again() {
    let keys = vec![key("a", None, 0), key("b", Some("eu \"1\""), 360)];
    let index = Index { keys };
    let text = index.render();
    assert_eq!(Index::parse(text.as_bytes()), Ok(index));
    assert!(
        text.contains("sign_from = 1800000360 # 2027-01-15T08:06:00"),
        "{text}"
    );
    assert_eq!(Index::parse(b""), Ok(Index::default()));
}

#[test]
fn what_is_no_index_is_refused() {
    for text in [
        &b"\xff"[..],
        b"key = 1",
        b"[[key]]\nkid = \"a\"",
        b"[[key]]\nkid = \"a\"\nadded = -1\nsign_from = 1",
        b"[[key]]\nkid = \"a\"\nadded = 1\nsign_from = 1\nuse = 1",
        b"[[key]]\nkid = \"a\"\nadded = 1\nsign_from = 2027-01-15T08:00:00Z",
    ] {
        assert!(Index::parse(text).is_err(), "{}", text.escape_ascii());
    }
}

#[test]
fn each_key_has_its_time() {
    let of_cell = Some("eu-1");
    let mut index = Index {
        keys: vec![
            key("c", None, 900),
            key("a", None, 0),
            key("s", of_cell, 500),
        ],
    };
    let used = |index: &Index, secs| index.in_use(None, at(secs)).unwrap().kid.clone();
    assert_eq!(used(&index, 0), "a");
    assert_eq!(used(&index, 899), "a");
    assert_eq!(used(&index, 900), "c");
    assert_eq!(
        index.in_use(of_cell, at(0)).unwrap().kid,
        "s",
        "the first doesn't wait"
    );
    assert_eq!(index.in_use(Some("eu-2"), at(0)), None);
    let waiting: Vec<_> = index.waiting(None, at(0)).into_iter().cloned().collect();
    assert_eq!(waiting, [key("c", None, 900)]);
    assert!(index.waiting(None, at(900)).is_empty());
    assert!(index.waiting(of_cell, at(0)).is_empty());

    assert_eq!(index.free_from(None, at(901).as_secs()), at(901).as_secs());
    assert_eq!(index.free_from(None, at(900).as_secs()), at(901).as_secs());
    assert_eq!(index.free_from(of_cell, at(0).as_secs()), at(0).as_secs());

    let overlap = Duration::from_secs(390);
    let until = |index: &Index, at: usize| index.needed_until(&index.keys[at], overlap);
    assert_eq!((until(&index, 1), until(&index, 0)), (Some(at(1290)), None));
    assert_eq!(index.prune(at(1289), overlap), []);
    assert_eq!(index.prune(at(1290), overlap), [key("a", None, 0)]);
    assert_eq!(index.keys.len(), 2);
    assert_eq!(index.prune(at(9999), overlap), [], "the last one stays");
}
