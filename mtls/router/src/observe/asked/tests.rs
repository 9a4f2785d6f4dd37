use super::*;

#[test]
fn made_up_methods_have_one_name() {
    assert_eq!(method(&Method::GET), "GET");
    assert_eq!(method(&Method::from_bytes(b"ALICE").unwrap()), "other");
}
