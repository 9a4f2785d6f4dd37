use super::*;

fn step(check: &'static str, passed: bool, detail: &str) -> Step {
    Step {
        check,
        passed,
        detail: detail.to_owned(),
    }
}

#[test]
fn a_field_is_a_list_of_checks() {
    let steps = [
        step("token.key", true, "kid \"a\\b\""),
        step("tenant.status", false, "größer\r\nx: y"),
    ];
    assert_eq!(
        field(&steps, FIELD_BYTES_MAX),
        r#"token.key;passed;detail="kid \"a\\b\"", tenant.status;passed=?0;detail="gr??er??x: y""#
    );
    assert!(HeaderValue::try_from(field(&steps, FIELD_BYTES_MAX)).is_ok());
}

/// Catches: a header without a bound, and one that hides that it was cut.
#[test]
fn a_long_field_is_cut_between_steps() {
    let long = "x".repeat(1000);
    let steps: Vec<_> = (0..100).map(|_| step("check", true, &long)).collect();
    let text = field(&steps, FIELD_BYTES_MAX);
    assert!(text.len() <= FIELD_BYTES_MAX, "{}", text.len());
    let (whole, cut) = text.rsplit_once(", ").unwrap();
    let shown = whole.split(", ").count();
    assert_eq!(cut, format!("cut;steps={}", 100 - shown));
    assert!(shown > 10, "{text}");
}

#[test]
fn only_the_whole_token_is_known() {
    let mut tokens = vec![[0; 32]; 2];
    tokens[1].copy_from_slice(digest(&SHA256, b"secret").as_ref());
    assert!(is_known(&tokens, b"secret"));
    for wrong in ["", "secre", "secret ", "Secret"] {
        assert!(!is_known(&tokens, wrong.as_bytes()), "{wrong}");
    }
    assert!(!is_known(&[], b"secret"));
}
