use super::*;

#[test]
fn keys_survive_their_files() {
    let key = SigningKey::from_seed("k1", &[1; 32]).unwrap();
    let pem = signing_pem(&key).unwrap();
    assert!(pem.lines().all(|line| line.len() <= PEM_LINE), "{pem}");
    let read = signing_key("k1", pem.as_bytes()).unwrap();
    assert_eq!(read.to_pkcs8(), key.to_pkcs8());

    let secret = [7; 32];
    let read = shared_key("s", "eu-1", secret_text(&secret).as_bytes()).unwrap();
    assert!(read.is_same_secret(&HmacKey::new("t", "eu-1", &secret).unwrap()));
}

#[test]
fn what_is_no_key_is_refused() {
    let rsa = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    for pem in ["", "junk", rsa, "-----BEGIN PRIVATE KEY-----\nMAA="] {
        let refused = signing_key("k1", pem.as_bytes()).unwrap_err();
        assert_eq!(refused, KeyError::NotEd25519, "{pem}");
    }
    for text in [&b"a+b"[..], b"YQ==", b"\xff"] {
        let refused = shared_key("s", "eu-1", text).unwrap_err();
        assert_eq!(refused, KeyError::NotBase64);
    }
    let refused = shared_key("s", "eu-1", b"c2hvcnQ").unwrap_err();
    assert_eq!(refused, KeyError::HmacLength);
}
