use super::*;

fn chain(parts: &[&[u8]]) -> ChainDigest {
    let parts: Vec<_> = parts
        .iter()
        .map(|der| CertificateDer::from(der.to_vec()))
        .collect();
    let (leaf, rest) = parts.split_first().unwrap();
    ChainDigest::of(leaf, rest)
}

fn at(secs: u64) -> Unix {
    Unix::from_secs(secs)
}

/// Catches: a chain that is accepted because another one was.
#[test]
fn only_the_same_chain_is_known() {
    let verified = VerifiedChains::default();
    verified.put(chain(&[b"leaf", b"ca"]), at(10), at(90), None);
    assert_eq!(
        verified.get(&chain(&[b"leaf", b"ca"]), at(20)),
        Some(at(90))
    );
    for other in [
        chain(&[b"leaf"]),
        chain(&[b"leafca"]),
        chain(&[b"lea", b"fca"]),
        chain(&[b"leaf", b"ca", b"ca"]),
        chain(&[b"leaf", b"cb"]),
        chain(&[b"ca", b"leaf"]),
    ] {
        assert_eq!(verified.get(&other, at(20)), None);
    }
}

/// Catches: a result that outlives a certificate or a revocation list, or one from the future.
#[test]
fn a_result_counts_until_something_expires() {
    let verified = VerifiedChains::default();
    let one = chain(&[b"leaf"]);
    for (staling, until) in [(None, 90), (Some(at(50)), 50), (Some(at(99)), 90)] {
        verified.put(one, at(10), at(90), staling);
        for (now, known) in [(9, false), (10, true), (until - 1, true), (until, false)] {
            let found = verified.get(&one, at(now));
            assert_eq!(found, known.then_some(at(90)), "{staling:?} {now}");
        }
    }
}

/// Catches: a table that grows, or one that mixes up chains with the same place.
#[test]
fn a_chain_replaces_the_one_in_its_place() {
    let verified = VerifiedChains::default();
    let chains = (0..3 * CHAINS_MAX as u64).map(|n| chain(&[&n.to_be_bytes()]));
    let chains: Vec<_> = chains.collect();
    for (n, one) in (0u64..).zip(&chains) {
        verified.put(*one, at(10), at(1_000 + n), None);
        assert_eq!(verified.get(one, at(10)), Some(at(1_000 + n)));
    }
    let known = |(n, one): (u64, &ChainDigest)| {
        let ends = verified.get(one, at(10))?;
        assert_eq!(ends, at(1_000 + n));
        Some(ends)
    };
    let known = (0u64..).zip(&chains).filter_map(known).count();
    assert!((CHAINS_MAX / 2..=CHAINS_MAX).contains(&known), "{known}");
}
