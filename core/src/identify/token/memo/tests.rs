use super::*;
use crate::ids::IssuerId;
use crate::text::Text;

fn verified(policy: u8) -> Arc<VerifiedToken> {
    Arc::new(VerifiedToken {
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
        .map(|verified| verified.policy[0])
}

#[test]
fn remembers_whole_tokens_and_forgets_the_unused() {
    let mut memo = Memo::new(4, 1);
    for i in 0..4 {
        memo.insert(format!("token {i}").as_bytes(), verified(i));
    }
    assert_eq!(remembered(&mut memo, "token"), None);
    assert_eq!(remembered(&mut memo, "token 00"), None);
    for i in [0, 2, 3] {
        assert_eq!(remembered(&mut memo, &format!("token {i}")), Some(i));
    }
    memo.insert(b"token 4", verified(4));
    assert_eq!(
        remembered(&mut memo, "token 1"),
        None,
        "the only one that wasn't used"
    );
    for i in [0, 2, 3, 4] {
        assert_eq!(remembered(&mut memo, &format!("token {i}")), Some(i));
    }

    memo.insert(b"token 0", verified(9));
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
        format!(
            "Memo {{ len: 4, capacity: 4, bytes: {}, .. }}",
            memo.bytes().0
        ),
        "and no token"
    );
}

#[test]
fn is_bounded() {
    let mut memo = Memo::new(100, 1);
    for i in 0..10_000 {
        let token = format!("token {i}");
        memo.insert(token.as_bytes(), verified(0));
        assert_eq!(
            remembered(&mut memo, &token),
            Some(0),
            "all are in use, and one makes room"
        );
    }
    assert_eq!(memo.tokens().len(), 100);
    let found = (0..10_000).filter(|i| remembered(&mut memo, &format!("token {i}")).is_some());
    assert_eq!(found.count(), 100);
    let mut none = Memo::disabled();
    none.insert(b"token", verified(0));
    assert_eq!(remembered(&mut none, "token"), None);
}

/// The largest tokens that a client can send, and the most roles and tenants that one can name, take
/// no more memory than the memo's bound.
#[test]
fn is_bounded_in_bytes_too() {
    const BYTES_MAX: usize = 1 << 20;
    let text = |i: usize| Text::new(&format!("role {i}")).unwrap();
    let many = Arc::new(Identity {
        roles: (0..256).map(text).collect(),
        ..Identity::default()
    });
    let mut memo = Memo::new(Memo::CAPACITY_DEFAULT, 1).with_bytes_max(BYTES_MAX);
    for i in 0..3_000 {
        let token = match i % 3 {
            0 => format!("{i:016384}"),
            _ => format!("{i}"),
        };
        let verified = match i % 3 {
            1 => VerifiedToken {
                identity: Arc::clone(&many),
                ..VerifiedToken::clone(&verified(0))
            },
            _ => VerifiedToken::clone(&verified(0)),
        };
        memo.insert(token.as_bytes(), Arc::new(verified));
        assert!(memo.bytes().0 <= BYTES_MAX);
        assert_eq!(remembered(&mut memo, &token), Some(0), "the newest");
    }
    let (kept, added_up) = memo.bytes();
    assert_eq!(kept, added_up);
    let tokens = memo.tokens();
    let shown: usize = tokens.iter().map(|token| token.len()).sum();
    assert!(shown > BYTES_MAX / 4, "the room is used: {shown}");
    for token in tokens {
        assert!(memo.get(&token, |_| true).is_some(), "each is found");
    }

    // A token that is larger than the memo displaces nothing.
    let mut small = Memo::new(4, 1).with_bytes_max(2_000);
    small.insert(b"token", verified(1));
    small.insert(&[b'x'; 2_000], verified(2));
    assert_eq!(remembered(&mut small, "token"), Some(1));
    assert_eq!(small.tokens().len(), 1);
}
