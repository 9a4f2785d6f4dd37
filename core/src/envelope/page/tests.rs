use super::*;

#[test]
fn the_page_of_keys_is_known_in_any_spelling() {
    for path in [
        "/.well-known/cellway/%6awks.json",
        "/.well-known/cellway/jwks.jso%6e",
        "/.well-known/cellway/jwks.jso%256e",
        "//.well-known/cellway/jwks.json",
        "/.well-known//cellway/jwks.json",
        "/.well-known/./cellway/jwks.json",
        "/x/../.well-known/cellway/jwks.json",
        "/.well-known/x/%2e%2E/cellway/jwks.json",
        "/..%2f.well-known%2fcellway%2fjwks.json",
        "/x%2fy/../.well-known/cellway/%6awks.json",
        "/%2ewell-known/cellway/jwks.json",
        "\\.well-known\\cellway\\jwks.json",
        "/.well-known/cellway%5cjwks.json",
        "/.well-known/cellway/jwks.json/",
        "/.well-known/cellway/jwks.json;a=b",
        "/.well-known/cellway/JWKS.json",
    ] {
        assert!(respells_jwks_path(path), "{path}");
    }
    for path in [
        JWKS_PATH,
        "/",
        "*",
        "/a%20b/%",
        "/%zz/.well-known",
        "/x/.well-known/cellway/jwks.json",
        "/.well-known/jwks.json",
        "/.well-known/cellway/jwks.json/x",
        "/.well-known/cellway/jwks.json%78",
    ] {
        assert!(!respells_jwks_path(path), "{path}");
    }
}
