use cellway_core::rate_limit::{RateLimit, RateLimitSpec};
use cellway_router::settings::{RateRule, RateScope};

use super::super::Period;
use super::super::testing::*;
use super::*;

/// One request in three seconds, two at once.
fn limit() -> RateLimit {
    RateLimit::new(RateLimitSpec {
        requests: 1,
        window_secs: Some(3),
        burst: Some(2),
    })
    .unwrap()
}

fn rule(per: RateScope, always: bool) -> RateRule {
    RateRule {
        per,
        limit: limit(),
        always,
    }
}

/// The requests of `client` have this rule, if any, and those of `other` have none.
fn bounds(rule: Option<RateRule>) -> Bounds {
    with_settings(|it| {
        let rules = rule.into_iter().collect();
        it.rates.rules = [("ruled".to_owned(), rules)].into();
        let named = |client: &str| (client.to_owned(), "ruled".to_owned());
        it.rates.traffic = [named("client"), named("second")].into();
    })
}

fn fed_with(bounds: &Bounds, facts: &[Fact]) -> Result<(), String> {
    let homes = ["globex", "hooli"].map(|tenant| (tenant.to_owned(), "shared".to_owned()));
    let said = Published {
        homes: homes.into(),
        ..document(1, &[])
    };
    let facts = [
        &[Fact::Started(life(0)), Fact::Published(Arc::new(said))],
        facts,
    ];
    feed(&mut RatesKept::new(bounds), &facts.concat())
}

/// With this limit in `[[traffic]]`.
fn fed(per: RateScope, facts: &[Fact]) -> Result<(), String> {
    fed_with(&bounds(Some(rule(per, false))), facts)
}

/// A request of this client and tenant.
fn sent_by(client: &str, tag: &str, tenant: &str) -> Fact {
    sent_with(tag, tenant, |sent| sent.client = client.to_owned())
}

/// Requests of these clients and tenants that are sent, and then arrive a second apart.
fn arrivals(of: &[(&str, &str)]) -> Vec<Fact> {
    let tagged = || (0..).map(|i: usize| i.to_string()).zip(of);
    let sent = tagged().map(|(tag, (client, tenant))| sent_by(client, &tag, tenant));
    let arrived = tagged().map(|(tag, (_, tenant))| {
        let arrived = arrived(if *tenant == "hooli" { "iron" } else { "gold" }, &tag, &tag);
        let arrived = with_header(arrived, "x-cellway-placement-epoch", "1");
        with_header(arrived, "x-cellway-tenant", tenant)
    });
    sent.chain(arrived).collect()
}

fn limited(tag: &str) -> Fact {
    answered(tag, Answer::Router("rate_limited".to_owned()))
}

#[test]
fn notices_more_requests_than_the_limit_allows() {
    // In n seconds with a second of jitter, 2 + n / 3 may pass.
    let acme = ("client", "acme");
    assert_eq!(fed(RateScope::Tenant, &arrivals(&[acme; 3])), Ok(()));
    assert!(fed(RateScope::Tenant, &arrivals(&[acme; 4])).is_err());
}

/// Catches: a router that has a bucket for each tenant of a placement, or for each cell.
#[test]
fn tenants_share_the_limit_of_their_placement() {
    let both = [("client", "globex"), ("client", "hooli")];
    let facts = arrivals(&[both, both].concat());
    let broken = fed(RateScope::Placement, &facts).unwrap_err();
    assert!(broken.contains("placement shared"), "{broken}");
    assert_eq!(fed(RateScope::Tenant, &facts), Ok(()));
    // It has a cell of its own.
    let acme = arrivals(&[("client", "acme"); 4]);
    assert_eq!(fed(RateScope::Placement, &acme), Ok(()));
    let own = Bounds {
        placement_rates: [("shared".to_owned(), limit())].into(),
        ..bounds(None)
    };
    let broken = fed_with(&own, &facts).unwrap_err();
    assert!(broken.contains("registry"), "{broken}");
}

/// Catches: a router that has a bucket for each tenant of a route, or none.
#[test]
fn all_share_the_limit_of_a_route() {
    let both = [("client", "acme"), ("second", "hooli")];
    let broken = fed(RateScope::Route, &arrivals(&[both, both].concat())).unwrap_err();
    assert!(broken.contains("the route"), "{broken}");
    let elsewhere = [("client", "acme"), ("other", "acme")];
    let facts = arrivals(&[elsewhere, elsewhere].concat());
    assert_eq!(fed(RateScope::Route, &facts), Ok(()));
}

/// Catches: a router that ignores a limit because the registry has one, or one that counts both.
#[test]
fn a_limit_in_the_registry_replaces_another_unless_that_applies_always() {
    let wide = RateLimitSpec {
        requests: 100,
        window_secs: None,
        burst: None,
    };
    let own = |always| Bounds {
        tenant_rates: [("acme".to_owned(), RateLimit::new(wide).unwrap())].into(),
        ..bounds(Some(rule(RateScope::Tenant, always)))
    };
    let facts = arrivals(&[("client", "acme"); 4]);
    assert_eq!(fed_with(&own(false), &facts), Ok(()));
    assert!(fed_with(&own(true), &facts).is_err());
    let sent = ["1", "2", "3"].map(|tag| sent(tag, "acme"));
    let third = [&sent[..], &[limited("3")]].concat();
    assert!(fed_with(&own(false), &third).is_err());
    assert_eq!(fed_with(&own(true), &third), Ok(()));
}

#[test]
fn only_the_registry_limits_what_an_envoy_forwards() {
    let via = |tag: &str| {
        sent_with(tag, "acme", |sent| {
            (sent.to, sent.via) = ("envoy".to_owned(), Some("envoy".to_owned()));
        })
    };
    let third = ["1", "2", "3"].map(via);
    let third = [&third[..], &[limited("3")]].concat();
    assert!(fed(RateScope::Tenant, &third).is_err());
    let own = Bounds {
        tenant_rates: [("acme".to_owned(), limit())].into(),
        ..bounds(None)
    };
    assert_eq!(fed_with(&own, &third), Ok(()));
}

#[test]
fn a_request_that_is_sent_again_counts_once() {
    let once = arrivals(&[("client", "acme")]);
    let again = vec![once[1].clone(); 8];
    let facts = [once, again].concat();
    assert_eq!(fed(RateScope::Tenant, &facts), Ok(()));
}

#[test]
fn notices_a_tenant_that_is_refused_within_its_limit() {
    let fed = |facts: &[Fact]| fed(RateScope::Tenant, facts);
    assert!(fed(&[sent("1", "acme"), limited("1")]).is_err());
    let sent = ["1", "2", "3"].map(|tag| sent(tag, "acme"));
    assert_eq!(fed(&[&sent[..], &[limited("3")]].concat()), Ok(()));
}

/// Catches: a router that lets those be refused who don't use a route, or who have no placement.
#[test]
fn notices_that_a_limit_counts_others() {
    let three = |tenants: [&str; 3]| {
        let tagged = ["1", "2", "3"].into_iter().zip(tenants);
        let mut facts: Vec<_> = tagged.map(|(tag, tenant)| sent(tag, tenant)).collect();
        facts.push(limited("3"));
        facts
    };
    let shared = three(["globex", "hooli", "globex"]);
    assert_eq!(fed(RateScope::Placement, &shared), Ok(()));
    assert!(fed(RateScope::Tenant, &shared).is_err());
    let own = three(["globex", "hooli", "acme"]);
    let broken = fed(RateScope::Placement, &own).unwrap_err();
    assert!(broken.contains("has no rate limit"), "{broken}");
    assert_eq!(fed(RateScope::Route, &own), Ok(()));
    let elsewhere = [
        sent("1", "acme"),
        sent("2", "acme"),
        sent_by("other", "3", "acme"),
        limited("3"),
    ];
    assert!(fed(RateScope::Route, &elsewhere).is_err());
}

/// Catches: a router that lets clients without credentials use up the limit of a placement, and a false alarm
/// about one that counts them there because its configuration says so.
#[test]
fn requests_without_credentials_count_for_the_placement_in_the_configuration() {
    let permissive = configured(|said| said.anonymous = Some("shared".to_owned()));
    let facts = [
        sent_by_nobody("1"),
        sent_by_nobody("2"),
        sent("3", "globex"),
        limited("3"),
    ];
    assert!(fed(RateScope::Placement, &facts).is_err());
    let facts = [&[permissive], &facts[..]].concat();
    assert_eq!(fed(RateScope::Placement, &facts), Ok(()));
}

/// Catches: a false alarm about an empty bucket that a reload doesn't fill.
#[test]
fn a_reload_fills_no_bucket() {
    let settings = |from: u32, rule| Period {
        router: Some("router-1".to_owned()),
        from: SECOND * from,
        until: SECOND * (from + 3),
        settings: bounds(rule).settings.all().next().unwrap().clone(),
    };
    let tenant = Some(rule(RateScope::Tenant, false));
    let bounds = Bounds {
        settings: SettingsInForce::new(vec![settings(0, tenant), settings(3, tenant)]),
        ..bounds(None)
    };
    assert_eq!(
        fed_with(&bounds, &[sent("1", "acme"), limited("1")]),
        Ok(())
    );
}
