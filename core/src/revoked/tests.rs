use serde_json::{Value, json};

use super::*;
use crate::identity::{CertificateProof, Proof, TokenProof};
use crate::registry::Registry;
use crate::testing::{self, text};
use crate::time::Unix;

fn policy() -> Policy {
    testing::policy(json!({
        "issuer": [{"name": "main", "issuer": "https://idp.example", "audience": "cellway"}],
        "policy": [{"name": "default", "any_of": ["jwt"]}],
    }))
}

fn registry(entries: &Value) -> Registry {
    testing::registry(&json!({
        "version": 1,
        "cells": [{"id": "c", "tier": "t", "region": "r", "state": "active",
                   "endpoints": [{"url": "http://c:1"}]}],
        "revocations": entries,
    }))
}

/// Alice's token for acme, `jti` t-1, issued at 100.
fn token() -> Identity {
    Identity {
        tenant: Some(text("acme")),
        subject: Some(text("alice")),
        proof: Proof {
            jwt: Some(text("main")),
            token: TokenProof {
                jti: Some("t-1".into()),
                iat: Some(100),
                expires: None,
            },
            ..Proof::default()
        },
        ..Identity::default()
    }
}

const SAN: &str = "spiffe://example/tenant/acme";

/// Acme's certificate of the trust domain `example`, in force from 100.
fn certificate() -> Identity {
    Identity {
        tenant: Some(text("acme")),
        subject: Some(text(SAN)),
        proof: certified(Proof::default()),
        ..Identity::default()
    }
}

fn certified(proof: Proof) -> Proof {
    Proof {
        mtls: true,
        trust_domain: Some(text("example")),
        certificate: Some(CertificateProof {
            subject: text(SAN),
            not_before: Unix::from_secs(100),
        }),
        ..proof
    }
}

/// A token beside the certificate of a service that names no tenant.
fn token_by_service() -> Identity {
    let mut identity = token();
    identity.proof = Proof {
        mtls: false,
        ..certified(identity.proof)
    };
    identity
}

fn is_revoked(entry: &Value, identity: &Identity) -> bool {
    let registry = registry(&json!([entry]));
    let checked = check(registry.revocations(), &policy(), identity, &mut ());
    match checked {
        Ok(()) => false,
        Err(refused) => {
            assert_eq!(refused.reason, Reason::Revoked);
            true
        }
    }
}

/// For each entry: whether it reaches the token, the certificate, and a token that a service shows.
#[test]
fn a_revocation_affects_only_what_it_names() {
    for (entry, want) in [
        (json!({"jti": "t-1", "issuer": "main"}), [true, false, true]),
        (
            json!({"jti": "t-1", "issuer": "https://idp.example"}),
            [true, false, true],
        ),
        (json!({"jti": "t-1", "issuer": "other"}), [false; 3]),
        (json!({"jti": "t-2", "issuer": "main"}), [false; 3]),
        (
            json!({"sub": "alice", "tenant": "acme"}),
            [true, false, true],
        ),
        (json!({"sub": "alice", "tenant": "globex"}), [false; 3]),
        (
            json!({"sub": "alice", "issuer": "main"}),
            [true, false, true],
        ),
        (
            json!({"sub": "alice", "issuer": "https://idp.example"}),
            [true, false, true],
        ),
        (json!({"sub": "alice", "issuer": "example"}), [false; 3]),
        (json!({"sub": "bob", "tenant": "acme"}), [false; 3]),
        (json!({"sub": SAN, "tenant": "acme"}), [false, true, false]),
        (
            json!({"sub": SAN, "issuer": "example"}),
            [false, true, true],
        ),
        (json!({"tenant": "acme"}), [true; 3]),
        (json!({"tenant": "globex"}), [false; 3]),
        (json!({"tenant": "alice"}), [false; 3]),
        (json!({"tenant": "acme", "issued_before": 100}), [false; 3]),
        (json!({"tenant": "acme", "issued_before": 101}), [true; 3]),
        (
            json!({"sub": "alice", "tenant": "acme", "issued_before": 101}),
            [true, false, true],
        ),
        (
            json!({"sub": "alice", "tenant": "acme", "issued_before": 100}),
            [false; 3],
        ),
        (
            json!({"issuer": "main", "issued_before": 101}),
            [true, false, true],
        ),
        (json!({"issuer": "main", "issued_before": 100}), [false; 3]),
        (
            json!({"issuer": "example", "issued_before": 101}),
            [false, true, true],
        ),
        (json!({"issued_before": 101}), [true; 3]),
        (json!({"issued_before": 100}), [false; 3]),
    ] {
        let got = [token(), certificate(), token_by_service()]
            .each_ref()
            .map(|identity| is_revoked(&entry, identity));
        assert_eq!(got, want, "{entry}");
    }
}

#[test]
fn a_token_without_iat_counts_as_old() {
    let mut identity = token();
    identity.proof.token = TokenProof::default();
    for (entry, want) in [
        (json!({"tenant": "acme", "issued_before": 1}), true),
        (json!({"issued_before": 1}), true),
        (json!({"jti": "t-1", "issuer": "main"}), false),
    ] {
        assert_eq!(is_revoked(&entry, &identity), want, "{entry}");
    }
}

#[test]
fn a_revoked_tenant_is_refused_with_every_credential() {
    let identity = Identity {
        tenant: Some(text("acme")),
        ..Identity::default()
    };
    assert!(is_revoked(&json!({"tenant": "acme"}), &identity));
    assert!(!is_revoked(
        &json!({"tenant": "acme", "issued_before": 101}),
        &identity
    ));
}
