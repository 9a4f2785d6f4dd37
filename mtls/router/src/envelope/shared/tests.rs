use super::*;

fn key(kid: &str, cell: &str, seed: u8, from: u64) -> (Unix, HmacKey) {
    let key = HmacKey::new(kid, cell, &[seed; 32]).unwrap();
    (Unix::from_secs(from), key)
}

#[test]
fn each_cell_has_its_own_key_and_each_key_its_time() {
    let keys = vec![
        key("b2", "b", 3, 900),
        key("a1", "a", 1, 500),
        key("b1", "b", 2, 0),
    ];
    let keys = SharedKeys::new(keys).unwrap();
    let used = |cell: &str, secs| {
        let key = keys.of(&Text::new(cell).unwrap(), Unix::from_secs(secs));
        key.map(HmacKey::kid)
    };
    assert_eq!(used("a", 0), Some("a1"), "there is no other");
    assert_eq!(used("b", 899), Some("b1"));
    assert_eq!(used("b", 900), Some("b2"));
    assert_eq!(used("c", 900), None);
    assert_eq!(keys.cells(), 2);
}

#[test]
fn one_secret_for_two_cells_is_refused() {
    let refused = |keys| SharedKeys::new(keys).unwrap_err();
    let error = refused(vec![key("a1", "a", 1, 0), key("b1", "b", 1, 0)]);
    assert!(
        error.contains("the same secret") && error.contains("(cell a)"),
        "{error}"
    );
    // Zeros after a secret don't make it a different one for HMAC.
    let padded = HmacKey::new("b1", "b", &[&[1; 32][..], &[0; 8]].concat()).unwrap();
    let error = refused(vec![key("a1", "a", 1, 0), (Unix::from_secs(0), padded)]);
    assert!(error.contains("the same secret"), "{error}");
    let error = refused(vec![key("a1", "a", 1, 0), key("a1", "a", 2, 9)]);
    assert!(error.contains("twice"), "{error}");
    let error = refused(vec![key("a1", "a", 1, 9), key("a2", "a", 2, 9)]);
    assert!(error.contains("the same sign_from"), "{error}");
    assert_eq!(refused(vec![]), "names no key");
}
