//! The forward proxy, from the file and from the environment.

use cellway_env::fetch::Proxies;

use super::*;

/// The proxies of the example with these lines in `[fetch]` and these variables.
fn proxies(settings: &str, variables: &[(&str, &str)]) -> Result<Proxies, ConfigErrors> {
    let text = EXAMPLE.replace("[fetch]", &format!("[fetch]\n{settings}"));
    load_with(&text, variables).map(|config| config.router.sources.fetch.proxies)
}

const ENVIRONMENT: [(&str, &str); 2] = [
    ("HTTPS_PROXY", "http://a:1"),
    ("NO_PROXY", "x.example, 10.0.0.0/8"),
];

/// Catches: a proxy that is bypassed, and one that can't be turned off.
#[test]
fn a_proxy_comes_from_the_file_or_from_the_environment() {
    let through = |url: &str, except: &[&str]| {
        let mut proxies = Proxies::through(url).unwrap();
        for entry in except {
            proxies.except(entry).unwrap();
        }
        proxies
    };
    let none = Proxies::default;
    let networks = ["x.example", "10.0.0.0/8"];
    let own = "proxy = \"http://b:2\"";
    let lower = [("https_proxy", "a:1"), ("no_proxy", "*")];
    let both = [("HTTPS_PROXY", "a:1"), ("https_proxy", "c:3")];
    let setting = [("CELLWAY__FETCH__PROXY", "http://b:2")];
    for (settings, variables, expected) in [
        ("", &[][..], none()),
        ("", &ENVIRONMENT, through("a:1", &networks)),
        ("", &lower, through("a:1", &["*"])),
        ("", &both, through("c:3", &[])),
        ("", &[("HTTPS_PROXY", "")], none()),
        ("", &[("NO_PROXY", "x.example")], none()),
        ("", &[("HTTP_PROXY", "a:1")], none()),
        (own, &[], through("b:2", &[])),
        (own, &ENVIRONMENT, through("b:2", &networks)),
        ("no_proxy = []", &ENVIRONMENT, through("a:1", &[])),
        ("proxy = \"off\"", &ENVIRONMENT, none()),
        ("", &setting, through("b:2", &[])),
    ] {
        let found = proxies(settings, variables).unwrap();
        assert_eq!(found, expected, "{settings} {variables:?}");
    }
}

/// Catches: a proxy whose password is printed.
#[test]
fn a_bad_proxy_is_named_without_its_password() {
    let with_password = [("HTTPS_PROXY", "https://u:secret@a"), ("NO_PROXY", "*")];
    let no_network = [("HTTPS_PROXY", "a:1"), ("NO_PROXY", "10.0.0.0/99")];
    let scheme = "proxy = \"socks5://u:secret@a\"";
    let exception = "no_proxy = [\"http://x\"]";
    for (settings, variables, place) in [
        ("", with_password, "HTTPS_PROXY: fetch.proxy: "),
        ("", no_network, "NO_PROXY: fetch.no_proxy: "),
        (scheme, ENVIRONMENT, "etc/cellway.toml:"),
        (exception, ENVIRONMENT, "etc/cellway.toml:"),
    ] {
        let error = proxies(settings, &variables).unwrap_err();
        assert_eq!(error.errors.len(), 1, "{error}");
        let error = error.to_string();
        assert!(
            error.starts_with(place) && !error.contains("secret"),
            "{error}"
        );
    }
}
