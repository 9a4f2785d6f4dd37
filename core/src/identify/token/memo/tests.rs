use super::*;
use crate::ids::IssuerId;

fn proven(policy: u8) -> Arc<Proven> {
    Arc::new(Proven {
        issuer: IssuerId(0),
        policy: [policy; 32],
        keys: [0; 32],
        exp: 0,
        nbf: None,
        iat: None,
        bound_to: None,
        tenants: Vec::new(),
        identity: Arc::default(),
    })
}

fn remembered(memo: &mut Memo, token: &str) -> Option<u8> {
    memo.get(token.as_bytes(), |_| true)
        .map(|proven| proven.policy[0])
}

#[test]
fn remembers_whole_tokens_and_forgets_the_unused() {
    let mut memo = Memo::new(4, 1);
    for i in 0..4 {
        memo.insert(format!("token {i}").as_bytes(), proven(i));
    }
    assert_eq!(remembered(&mut memo, "token"), None);
    assert_eq!(remembered(&mut memo, "token 00"), None);
    for i in [0, 2, 3] {
        assert_eq!(remembered(&mut memo, &format!("token {i}")), Some(i));
    }
    memo.insert(b"token 4", proven(4));
    assert_eq!(
        remembered(&mut memo, "token 1"),
        None,
        "the only one that wasn't used"
    );
    for i in [0, 2, 3, 4] {
        assert_eq!(remembered(&mut memo, &format!("token {i}")), Some(i));
    }

    memo.insert(b"token 0", proven(9));
    assert_eq!(
        remembered(&mut memo, "token 0"),
        Some(9),
        "in place of the old"
    );
    assert_eq!(
        remembered(&mut memo, "token 2"),
        Some(2),
        "so that nothing else goes"
    );
    assert!(memo.get(b"token 0", |_| false).is_none());
    assert_eq!(
        format!("{memo:?}"),
        "Memo { len: 4, capacity: 4, .. }",
        "and no token"
    );
}

#[test]
fn is_bounded() {
    let mut memo = Memo::new(100, 1);
    for i in 0..10_000 {
        let token = format!("token {i}");
        memo.insert(token.as_bytes(), proven(0));
        assert_eq!(
            remembered(&mut memo, &token),
            Some(0),
            "all are in use, and one makes room"
        );
    }
    assert_eq!(format!("{memo:?}"), "Memo { len: 100, capacity: 100, .. }");
    let found = (0..10_000).filter(|i| remembered(&mut memo, &format!("token {i}")).is_some());
    assert_eq!(found.count(), 100);
    let mut none = Memo::disabled();
    none.insert(b"token", proven(0));
    assert_eq!(remembered(&mut none, "token"), None);
}
