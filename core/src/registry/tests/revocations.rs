//! What a revocation must name.

use super::*;

/// Adds each entry to a good document, which is then refused with this message.
fn assert_refused(rows: &[(&str, &str)]) {
    let good = good();
    let first = r#"{"jti": "t-1", "issuer": "main"}"#;
    for (entry, message) in rows {
        let broken = good.replace(first, &format!("{first}, {entry}"));
        let refused = refusal(&broken, None);
        assert_eq!(refused.reason, RegistryErrorReason::Invalid, "{entry}");
        assert!(
            refused.detail.contains(message),
            "{entry}: {}",
            refused.detail
        );
    }
}

#[test]
fn refuses_a_revocation_that_names_too_little_or_too_much() {
    assert_refused(&[
        (r#"{}"#, "[1] is empty"),
        (
            r#"{"jti": "x"}"#,
            "[1] has a jti, so it must have an issuer",
        ),
        (
            r#"{"jti": "x", "issuer": "main", "issued_before": 5}"#,
            "[1] has a jti, so it must",
        ),
        (
            r#"{"jti": "x", "issuer": "main", "tenant": "acme"}"#,
            "[1] has a jti, so it must",
        ),
        (
            r#"{"jti": "", "issuer": "main"}"#,
            "[1].jti must have 1 to 1024 bytes",
        ),
        (
            r#"{"sub": "alice"}"#,
            "[1] has a sub, so it must have either a tenant or an issuer",
        ),
        (
            r#"{"sub": "alice", "issued_before": 5}"#,
            "[1] has a sub, so it must have",
        ),
        (
            r#"{"sub": "alice", "tenant": "acme", "issuer": "main"}"#,
            "[1] has a sub, so",
        ),
        (r#"{"sub": "", "tenant": "acme"}"#, "[1].sub is empty"),
        (r#"{"tenant": "a,b"}"#, "[1].tenant may hold"),
        (
            r#"{"tenant": "acme", "issuer": "main"}"#,
            "[1] has a tenant and an issuer",
        ),
        (
            r#"{"issuer": "main"}"#,
            "[1] revokes all of an issuer, and needs issued_before",
        ),
        (
            r#"{"jti": "t-1", "issuer": "main"}"#,
            "[1] has the same target as another entry",
        ),
    ]);
}

#[test]
fn refuses_a_revocation_with_a_wrong_value() {
    assert_refused(&[
        (
            r#"{"issued_before": 0}"#,
            "[1].issued_before is not a time in seconds",
        ),
        (
            r#"{"issued_before": 1767225600000}"#,
            "[1].issued_before is not a time in seconds",
        ),
        (
            r#"{"issued_before": -5}"#,
            "revocations[1].issued_before must be a whole number from 0 to 18446744073709551615, found -5",
        ),
        (
            r#"{"issued_before": 5.5}"#,
            "revocations[1].issued_before must be a whole number from 0 to 18446744073709551615, found 5.5",
        ),
        (
            r#"{"sub": null, "tenant": "acme"}"#,
            "revocations[1].sub must be a string, found null",
        ),
        (
            r#"{"sub": "alice", "tenant": "acme", "issued_before": null}"#,
            "revocations[1].issued_before must be a number, found null",
        ),
        (
            r#"{"subject": "alice", "tenant": "acme"}"#,
            "revocations[1]: unknown field `subject`",
        ),
    ]);
}

/// Whatever a certificate may be called can be revoked by its name.
#[test]
fn a_revocation_names_a_subject_as_long_as_a_spiffe_id() {
    let read = |len: usize| {
        let sub = format!("{:a<len$}", "spiffe://prod.example/");
        let entry = format!(r#""revocations": [{{"sub": "{sub}", "tenant": "acme"}}, "#);
        let body = good().replace(r#""revocations": ["#, &entry);
        Registry::parse(
            body.as_bytes(),
            RegistryFormat::Json,
            None,
            &RegistryLimits::default(),
        )
    };
    assert!(read(Text::ID_LEN_MAX).is_ok());
    assert!(read(Text::ID_LEN_MAX + 1).is_err());
}
