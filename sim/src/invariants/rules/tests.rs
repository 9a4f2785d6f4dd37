use super::super::testing::*;
use super::*;

fn rule(methods: &[&str], path: &str, roles: &[&str]) -> Rule {
    let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    Rule {
        methods: list(methods),
        path: path.to_owned(),
        grpc: false,
        who: Who::Granted {
            roles: list(roles),
            scopes: Vec::new(),
        },
    }
}

fn ruled(rules: &[Rule]) -> Fact {
    configured(|said| said.rules = Some(rules.to_vec()))
}

/// `acme` allows the role `editor`, and its default role is `viewer`.
fn registry() -> Fact {
    let role_settings = RoleSettings {
        allowed_roles: ["editor".to_owned()].into(),
        default_role: Some("viewer".to_owned()),
    };
    Fact::Published(Arc::new(Published {
        role_settings: [("acme".to_owned(), role_settings)].into(),
        ..document(1, &[("acme", "a")])
    }))
}

fn with_roles(roles: Option<&[&str]>) -> Fact {
    let roles = roles.map(|all| all.iter().map(|role| (*role).to_owned()).collect());
    sent_with("t", "acme", |sent| {
        if let Some(claims) = &mut sent.claims {
            claims.roles = roles;
        }
    })
}

fn fed(facts: &[Fact]) -> Result<(), String> {
    feed(&mut RulesKept::new(&with_settings(|_| ())), facts)
}

/// A `POST` of `/orders` arrives with these roles in its header.
fn passing(rules: &[Rule], roles: Option<&[&str]>, stamp: &str) -> Result<(), String> {
    let arrival = with_header(arrived("a", "t", "r"), "x-cellway-roles", stamp);
    fed(&[
        ruled(rules),
        registry(),
        with_roles(roles),
        allowed("r", "a", 1),
        arrival,
    ])
}

#[test]
fn accepts_with_what_a_rule_allows() {
    let rules = [rule(&["POST"], "/orders", &["editor"])];
    assert_eq!(passing(&rules, Some(&["editor", "root"]), "editor"), Ok(()));
    let rules = [rule(&[], "/orders/**", &["viewer"])];
    assert_eq!(passing(&rules, None, "viewer"), Ok(()));
}

#[test]
fn notices_what_no_rule_allows() {
    for rules in [
        rule(&["POST"], "/orders", &["viewer"]),
        rule(&["GET"], "/orders", &["editor"]),
        rule(&["POST"], "/orders/{id}", &["editor"]),
    ] {
        let why = passing(&[rules], Some(&["editor"]), "editor").unwrap_err();
        assert!(why.contains("no rule allows"), "{why}");
    }
    // The first rule that matches decides.
    let rules = [
        rule(&[], "/orders", &["root"]),
        rule(&[], "/**", &["editor"]),
    ];
    passing(&rules, Some(&["editor"]), "editor").unwrap_err();
}

/// Catches: a router that applies a rule for gRPC calls to other requests.
#[test]
fn a_rule_for_calls_covers_only_calls() {
    let rules = [Rule {
        grpc: true,
        ..rule(&[], "/orders.v1.Orders/*", &[])
    }];
    let caller = Caller {
        verified: true,
        roles: BTreeSet::new(),
        scopes: BTreeSet::new(),
    };
    let permits = |path, grpc| {
        let method = "POST";
        permit(&rules, &Asked { method, path, grpc }, &caller)
    };
    assert!(permits("/orders.v1.Orders/List", true));
    assert!(!permits("/orders.v1.Orders/List", false));
    assert!(!permits("/orders.v2.Orders/List", true));
}

#[test]
fn notices_roles_that_do_not_count() {
    let rules = [rule(&["POST"], "/orders", &["editor", "root"])];
    let why = passing(&rules, Some(&["editor", "root"]), "editor,root").unwrap_err();
    assert!(why.contains("its caller has"), "{why}");
    // If no role of the token is allowed, the caller has none, not the default role.
    passing(&rules, Some(&["root"]), "viewer").unwrap_err();
}

#[test]
fn notices_a_refusal_of_what_is_allowed() {
    let forbidden = || answered("t", Answer::Router("role_forbidden".to_owned()));
    let rules = [rule(&["POST"], "/orders", &["editor"])];
    let facts = |roles| [ruled(&rules), registry(), with_roles(roles), forbidden()];
    assert!(
        fed(&facts(Some(&["editor"])))
            .unwrap_err()
            .contains("was refused")
    );
    assert_eq!(fed(&facts(None)), Ok(()));
}

#[test]
fn paths_are_compared_by_segments() {
    for (pattern, path, fits) in [
        ("/orders", "/orders?page=2", true),
        ("/orders", "/%6frders", true),
        ("/orders", "/orders/", false),
        ("/orders/**", "/orders", true),
        ("/orders/**", "/orders/7/lines", true),
        ("/orders/{id}", "/orders/7", true),
        ("/orders/*", "/orders/", false),
        ("/orders/*", "/orders/7/lines", false),
        ("/**", "/", true),
    ] {
        assert_eq!(covers(pattern, path), fits, "{pattern} {path}");
    }
}
