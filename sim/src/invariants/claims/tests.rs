use super::super::testing::*;
use super::*;
use crate::scenario::CellState;

/// A request of `tenant` with changed claims that arrives at `a` for acme.
fn request(tenant: &str, selects: Option<&str>, change: impl FnOnce(&mut Claims)) -> Vec<Fact> {
    let sent = sent_with("t", tenant, |sent| {
        if let Some(claims) = &mut sent.claims {
            change(claims);
        }
        sent.selects = selects.map(str::to_owned);
    });
    vec![sent, allowed("r", "a", 1), arrived("a", "t", "r")]
}

fn names(list: &[&str]) -> std::collections::BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn notices_a_token_for_others() {
    for (audiences, passes) in [
        (&["cellway"][..], true),
        (&["cellway", "other"], true),
        (&["other"], false),
        (&[], false),
    ] {
        let facts = request("acme", None, |claims| claims.audiences = names(audiences));
        let mut invariant = TokenAudience::new("cellway");
        assert_eq!(
            feed(&mut invariant, &facts).is_ok(),
            passes,
            "{audiences:?}"
        );
    }
}

#[test]
fn notices_a_tenant_that_was_not_chosen() {
    for (tenants, default, selects, passes) in [
        (&["acme"][..], None, None, true),
        (&["acme", "globex"], None, Some("acme"), true),
        (&["acme", "globex"], Some("acme"), None, true),
        (&["acme", "globex"], None, None, false),
        (&["acme", "globex"], None, Some("globex"), false),
        (&["acme", "globex"], Some("globex"), None, false),
        (&["globex"], None, Some("acme"), false),
        (&[], None, None, false),
    ] {
        let facts = request("acme", selects, |claims| {
            claims.tenants = names(tenants);
            claims.default_tenant = default.map(str::to_owned);
        });
        let mut invariant = TenantChoice::new("x-cellway-");
        let fed = feed(&mut invariant, &facts);
        assert_eq!(fed.is_ok(), passes, "{tenants:?} {default:?} {selects:?}");
    }
}

#[test]
fn notices_another_tier() {
    for (tenant, tier, by_tier, state, passes) in [
        ("acme", None, false, CellState::Active, true),
        ("acme", Some("gold"), false, CellState::Draining, true),
        ("acme", Some("iron"), false, CellState::Active, false),
        ("guest", Some("gold"), true, CellState::Active, true),
        ("guest", Some("gold"), true, CellState::Draining, false),
        ("guest", Some("gold"), false, CellState::Active, false),
        ("guest", None, true, CellState::Active, false),
    ] {
        let registry = Fact::Published(Arc::new(Published {
            cells: [("a".to_owned(), gold(state))].into(),
            by_tier,
            ..document(1, &[("acme", "a")])
        }));
        let sent = request(tenant, None, |claims| claims.tier = tier.map(str::to_owned));
        let facts = [vec![registry], sent].concat();
        let fed = feed(&mut TierKept::default(), &facts);
        assert_eq!(fed.is_ok(), passes, "{tenant} {tier:?} {by_tier} {state:?}");
    }
}
