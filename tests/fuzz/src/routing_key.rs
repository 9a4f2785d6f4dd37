//! Routing keys and their signatures.

use std::sync::LazyLock;

use http::HeaderValue;
use serde_json::json;

use crate::identity::{Core, NOW};

/// The tenant that the one signature is for.
const TENANT: &str = "acme";

/// For `GET /` of `api.example`, by the key of RFC 8037, appendix A.
const SIGNATURE: &str = "v1; kid=edge-1; t=1800000000; \
    sig=zsG_bS8LNMLcD-xtWeXLObiwOnqipJuIBogHqxA2sdXHdN3LjTwBcAwoTbDWQoE4iG42hQ5yAo8UKdGH_StqDQ";

static CORE: LazyLock<Core> = LazyLock::new(|| {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let config = json!({
        "policy": [{"name": "default", "any_of": ["routing_key"]}],
        "routing_key": {
            "signer": [{"kid": "edge-1", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}}],
        },
    });
    Core::new(config, None).expect("a good configuration")
});

/// The input is the routing key and, after a line break, its signature. Whoever hasn't the signer's
/// key has one good pair, in one spelling, and nothing else may be taken.
pub(crate) fn run(data: &[u8]) {
    let (key, signature) = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], Some(&data[at + 1..])),
        None => (data, None),
    };
    let signature = signature.map(HeaderValue::from_bytes);
    let (Ok(key), Ok(signature)) = (HeaderValue::from_bytes(key), signature.transpose()) else {
        return;
    };
    let Ok(identity) = CORE.ask_by_key(key.clone(), signature.clone()) else {
        return;
    };
    assert_eq!(key, TENANT);
    assert_eq!(signature.expect("nobody else vouches"), SIGNATURE);
    let tenant = identity.tenant.as_ref().map(|tenant| tenant.as_str());
    assert_eq!(tenant, Some(TENANT));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    assert!(SIGNATURE.contains(&NOW.to_string()), "it is of this moment");
    let good = format!("{TENANT}\n{SIGNATURE}");
    let core = &*CORE;
    let value = |text: &str| HeaderValue::from_str(text).expect("visible ASCII");
    let taken = core.ask_by_key(value(TENANT), Some(value(SIGNATURE)));
    taken.expect("the signature is good");
    [
        good.clone(),
        TENANT.to_owned(),
        good.replace(TENANT, "globex"),
        good.replace("t=1800000000", "t=1800000001"),
        good.replace("; ", ";"),
        format!("{good}; x=1"),
        format!("{good}=="),
        format!("\n{SIGNATURE}"),
    ]
    .map(String::into_bytes)
    .into()
}
