//! The memo changes the cost of a decision, never its result.

use proptest::prelude::*;

use super::*;

#[test]
fn a_cached_token_is_refused_when_a_new_one_would_be() {
    use Reason::*;
    let token = ed_token(json!({}));
    let remembered = || {
        let mut world = World::jwt();
        assert_eq!(world.reason(&token), Verified);
        world
    };

    let mut expired = remembered();
    expired.now = 200;
    assert_eq!(expired.reason(&token), ExpiredToken);

    let mut withdrawn = remembered();
    withdrawn.waited = true;
    let others = jwks(&[Signer::ed25519(2).jwk("other")]);
    withdrawn.keys = key_table(&withdrawn.policy, &[others]);
    assert_eq!(withdrawn.reason(&token), NoMatchingKey);

    let mut replaced = remembered();
    let same_kid = jwks(&[Signer::ed25519(2).jwk("ed")]);
    replaced.keys = key_table(&replaced.policy, &[same_kid]);
    assert_eq!(replaced.reason(&token), BadSignature);

    let mut aged = remembered();
    aged.waited = true;
    aged.keys = KeyTable {
        epoch: 2,
        issuers: vec![Arc::default()],
    };
    assert_eq!(aged.reason(&token), JwksUnreachable);

    let mut reloaded = remembered();
    let other = World::new(json!({"audience": "other"}), json!({"any_of": ["jwt"]}));
    reloaded.policy = other.policy;
    assert_eq!(reloaded.reason(&token), WrongAudience);
}

#[test]
fn policies_share_the_memo_and_not_the_issuers() {
    let other = json!({"name": "other", "issuer": "https://other.example", "tenants": ["acme"]});
    let policy = testing::policy(json!({
        "issuer": [issuer(json!({"tenants": ["acme"]})), issuer(other)],
        "policy": [
            {"name": "default", "any_of": ["jwt"]},
            {"name": "narrow", "any_of": ["jwt"], "issuers": ["other"]},
        ],
    }));
    let mut world = World::jwt();
    world.keys = key_table(&policy, &[published(), published()]);
    world.policy = policy;
    let token = ed_token(json!({}));
    assert_eq!(world.reason(&token), Reason::Verified);

    let credentials = Credentials {
        authorization: Some(HeaderValue::from_str(&format!("Bearer {token}")).unwrap()),
        ..Credentials::default()
    };
    let mut memo = std::mem::replace(&mut world.memo, Memo::disabled());
    let mut evidence = world.evidence(&credentials);
    evidence.policy = world.policy.policy_id("narrow").unwrap();
    let found = world.identify(&evidence, &mut memo);
    assert_eq!(reason_of(found), Reason::WrongIssuer);
}

/// A request among those that a memo could confuse.
#[derive(Clone, Debug)]
struct Request {
    token: usize,
    now: u64,
    choice: Option<&'static str>,
    with_peer: bool,
    set: usize,
}

fn request() -> impl Strategy<Value = Request> {
    let choice = prop_oneof![
        Just(None),
        Just(Some("a")),
        Just(Some("b")),
        Just(Some("c"))
    ];
    (0..12_usize, 0..300_u64, choice, any::<bool>(), 0..3_usize).prop_map(
        |(token, now, choice, with_peer, set)| Request {
            token,
            now,
            choice,
            with_peer,
            set,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// [`World::identify`] asks with and without the memo, and compares.
    #[test]
    fn the_answer_is_the_same_with_and_without(requests in prop::collection::vec(request(), 1..60)) {
        let mapping = json!({"claims": {"tenants": "tenants"}});
        let mut world = World::new(mapping, json!({"any_of": ["jwt", "mtls"]}));
        world.waited = true;
        // Small, so that entries are pushed out.
        world.memo = Memo::new(8, 7);
        let der = certificate_for(&["spiffe://example/tenant/a"], &[]);
        let peer = PeerCertificate::from_der(&der).unwrap();
        let own = testing::base64url(peer.thumbprint());
        let tokens: Vec<String> = (0..12)
            .map(|i: u64| ed_token(json!({
                "exp": START + 50 * (i % 4 + 1),
                "nbf": START + 20 * (i % 3),
                "tenant_id": if i.is_multiple_of(2) { "a" } else { "REMOVED" },
                "tenants": if i.is_multiple_of(5) { json!(["a", "b"]) } else { json!(["a"]) },
                "cnf": if i % 6 == 1 { json!({"x5t#S256": own}) } else { json!("REMOVED") },
            })))
            .collect();
        let sets = [
            key_table(&world.policy, &[published()]),
            key_table(&world.policy, &[jwks(&[SIGNERS.ed.jwk("ed")])]),
            key_table(&world.policy, &[jwks(&[Signer::ed25519(2).jwk("ed")])]),
        ];
        for request in requests {
            world.now = request.now;
            world.choice = request.choice;
            world.peer = request.with_peer.then(|| peer.clone());
            world.keys = sets[request.set].clone();
            let _ = world.bearer(&tokens[request.token]);
        }
    }
}
