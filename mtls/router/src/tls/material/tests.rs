use cellway_env::tokio::TokioEnv;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair as RcgenKey};

use super::*;

struct Pki {
    leaf: String,
    authority: String,
    key: String,
}

fn pki() -> Pki {
    let authority_key = RcgenKey::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(params, &authority_key);
    let key = RcgenKey::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["router.example".to_owned()]).unwrap();
    (leaf.distinguished_name).push(DnType::CommonName, "router.example");
    Pki {
        leaf: leaf.signed_by(&key, &issuer).unwrap().pem(),
        authority,
        key: key.serialize_pem(),
    }
}

async fn load(certificate: &str, key: &[u8]) -> Result<usize, String> {
    let pair = KeyPair {
        certificate: Pem::Text(certificate.to_owned().into()),
        key: Pem::Text(key.to_vec().into()),
    };
    let loaded = load_key_pair(&TokioEnv::new(), &pair).await;
    loaded
        .map(|(chain, _)| chain.len())
        .map_err(|error| error.problem)
}

#[tokio::test]
async fn takes_text_as_editors_write_it() {
    let Pki {
        leaf,
        authority,
        key,
    } = pki();
    let chain = format!("\u{feff}{leaf}{authority}");
    assert_eq!(
        load(&chain, format!("\u{feff}{key}").as_bytes()).await,
        Ok(2)
    );
    let windows = chain.replace('\n', "\r\n");
    assert_eq!(
        load(&windows, key.replace('\n', "\r\n").as_bytes()).await,
        Ok(2)
    );
    // A CA certificate alone is accepted here. Chain verification refuses it.
    assert_eq!(load(&authority, key.as_bytes()).await, Ok(1));
    let roots = Pem::Text(format!("\u{feff}{authority}").into());
    assert_eq!(load_roots(&TokioEnv::new(), &roots).await.unwrap().len(), 1);
}

/// Catches: a message that doesn't say which of a hundred certificates in a bundle is broken.
#[tokio::test]
async fn names_the_line_of_the_broken_section() {
    let Pki {
        leaf,
        authority,
        key,
    } = pki();
    let lines = |text: &str| text.lines().count();
    let after = lines(&authority) + 1;
    let cut = "-----BEGIN CERTIFICATE-----\nMII";
    let no_base64 = leaf.replacen('M', "*", 1);
    let no_dashes = leaf.replacen("-----\n", "---\n", 1);
    for (what, text, problem, line) in [
        (
            "at the end",
            format!("{authority}{cut}"),
            "without its END",
            after,
        ),
        (
            "before another",
            format!("{cut}\n{authority}"),
            "without its END",
            1,
        ),
        (
            "behind a comment",
            format!("# ours\r\n{cut}"),
            "without its END",
            2,
        ),
        (
            "no base64",
            format!("{authority}{no_base64}{authority}"),
            "not base64",
            after,
        ),
        (
            "no dashes",
            format!("{authority}{no_dashes}"),
            "five dashes",
            after,
        ),
    ] {
        let found = load(&text, key.as_bytes()).await.unwrap_err();
        assert!(found.starts_with("is not PEM: "), "{what}: {found}");
        assert!(found.contains(problem), "{what}: {found}");
        assert!(
            found.ends_with(&format!("(line {line})")),
            "{what}: {found}"
        );
    }
    let broken = key.replacen('M', "*", 1);
    let found = load(&leaf, broken.as_bytes()).await.unwrap_err();
    let unreadable = "has a private key that can't be read: ";
    assert!(found.starts_with(unreadable), "{found}");
    assert!(found.ends_with("(line 1)"), "{found}");
    let roots = Pem::Text(format!("{authority}{}", leaf_with_junk()).into());
    let found = load_roots(&TokioEnv::new(), &roots).await.unwrap_err();
    assert!(found.problem.contains("trusted, number 2: "), "{found}");
    assert!(
        found.problem.ends_with(&format!("(line {after})")),
        "{found}"
    );
}

/// Catches: a chain that the router sends as it is, and that no client accepts.
#[tokio::test]
async fn refuses_a_chain_that_is_none() {
    let Pki {
        leaf,
        authority,
        key,
    } = pki();
    let second = leaf.lines().count() + 1;
    let third = second + authority.lines().count();
    let other_key = RcgenKey::generate().unwrap();
    let mut other = CertificateParams::default();
    other.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = "another authority";
    (other.distinguished_name).push(DnType::CommonName, name);
    let other = other.self_signed(&other_key).unwrap().pem();
    let junk = leaf_with_junk();
    for (what, chain, problem, line) in [
        (
            "no certificate",
            format!("{leaf}{junk}"),
            "certificate 2 can't be used: it can't be parsed",
            second,
        ),
        (
            "no certificate above the issuer",
            format!("{leaf}{authority}{junk}"),
            "certificate 3 can't be used",
            third,
        ),
        (
            "another's issuer",
            format!("{leaf}{other}"),
            "certificate 2, \"CN=another authority\", did not issue the one before it",
            second,
        ),
        (
            "one in between",
            format!("{leaf}{other}{authority}"),
            "certificate 2, ",
            second,
        ),
        (
            "the leaf twice",
            format!("{leaf}{leaf}{authority}"),
            "certificate 2, ",
            second,
        ),
        (
            "an unrelated root",
            format!("{leaf}{authority}{other}"),
            "certificate 3, ",
            third,
        ),
    ] {
        let found = load(&chain, key.as_bytes()).await.unwrap_err();
        assert!(found.starts_with(problem), "{what}: {found}");
        assert!(
            found.ends_with(&format!("(line {line})")),
            "{what}: {found}"
        );
    }
}

/// A section of the right form whose bytes are no certificate.
fn leaf_with_junk() -> &'static str {
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
}

/// Catches: a message such as "no items found", which doesn't say what the mistake is.
#[tokio::test]
async fn names_the_mistake() {
    let Pki {
        leaf,
        authority,
        key,
    } = pki();
    let indent = |text: &str| format!("pem: |\n  {}", text.replace('\n', "\n  "));
    let pkcs8 = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let older = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                 DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(key.encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let (root_first, indented) = (format!("{authority}{leaf}"), indent(&leaf));
    for (certificate, key, expected) in [
        (
            &*root_first,
            key.as_bytes(),
            "the chain is in the wrong order: certificate 1 is",
        ),
        (&leaf, pkcs8.as_bytes(), "the private key is encrypted"),
        (&leaf, older.as_bytes(), "the private key is encrypted"),
        (&indented, key.as_bytes(), "line 2 is indented"),
        (&leaf, indent(&key).as_bytes(), "line 2 is indented"),
        (&leaf, &utf16, "is UTF-16 text"),
        (
            &key,
            key.as_bytes(),
            "holds a private key and no certificate; is",
        ),
        (
            &leaf,
            leaf.as_bytes(),
            "holds a certificate and no private key; are",
        ),
        ("", key.as_bytes(), "is empty"),
        (&leaf, b"", "is empty"),
        (&leaf, b"key", "holds no private key"),
        ("chain", key.as_bytes(), "holds no certificate"),
    ] {
        let problem = load(certificate, key).await.unwrap_err();
        assert!(problem.starts_with(expected), "{expected}: {problem}");
    }
}
