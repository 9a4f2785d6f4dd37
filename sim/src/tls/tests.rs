use super::*;

fn exchange(seed: u64) -> Box<dyn ActiveKeyExchange> {
    let provider = provider(Random::new(seed, "host", 0, "tls"));
    provider.kx_groups[0].start().unwrap()
}

#[test]
fn agrees_with_aws_lc() {
    let ours = exchange(1);
    let theirs = aws_lc_rs::kx_group::X25519
        .start_and_complete(ours.pub_key())
        .unwrap();
    let secret = ours.complete(&theirs.pub_key).unwrap();
    assert_eq!(secret.secret_bytes(), theirs.secret.secret_bytes());
}

#[test]
fn follows_the_seed() {
    assert_eq!(exchange(1).pub_key(), exchange(1).pub_key());
    assert_ne!(exchange(1).pub_key(), exchange(2).pub_key());
}

#[test]
fn refuses_a_share_that_fixes_the_secret() {
    assert!(exchange(1).complete(&[0; 32]).is_err());
    assert!(exchange(1).complete(&[1; 31]).is_err());
}
