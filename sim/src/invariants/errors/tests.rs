use super::super::testing::*;
use super::*;

#[test]
fn notices_an_error_that_is_not_expected() {
    let error = Fact::Error {
        life: life(0),
        event: "accept_failed".to_owned(),
        text: "no more files".to_owned(),
    };
    let mut strict = NoUnexpectedErrors::new(&[]);
    assert!(feed(&mut strict, std::slice::from_ref(&error)).is_err());
    let mut warned = NoUnexpectedErrors::new(&["accept_failed".to_owned()]);
    assert_eq!(feed(&mut warned, &[error]), Ok(()));
}
