use super::*;

#[test]
fn settings_merge_deeply_and_into_every_entry_of_a_list() {
    let mut base = toml::from_str("a = 1\n[t]\nx = 1\n[[l]]\nn = 1\n[[l]]\nn = 2").unwrap();
    let over = toml::from_str("b = 2\n[t]\ny = 2\n[l.k]\nz = 3").unwrap();
    merge(&mut base, &over);
    let expected = "a = 1\nb = 2\n[t]\nx = 1\ny = 2\n[[l]]\nn = 1\nk = { z = 3 }\n\
                    [[l]]\nn = 2\nk = { z = 3 }";
    assert_eq!(base, toml::from_str(expected).unwrap());
}
