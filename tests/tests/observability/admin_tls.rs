//! The admin listener over mutual TLS.

use cellway_testbed::{Ca, Credential, Request, San, Signer, Validity};
use cellway_tests::world::{Authorities, HOUR, Running, World, boot, certificate, now};

const OPERATOR: &str = "spiffe://ops.test/admin";

const TLS: &str = r#"
[admin.tls]
certificate = "server.pem"
key = "server.key"
bundle = "ops.pem"
crl = ["ops.crl"]
clients = ["spiffe://ops.test/admin", "prometheus.ops.test"]
"#;

struct Admin {
    world: World,
    ops: Ca,
}

impl Admin {
    async fn new() -> Self {
        let world = World::up(Signer::from_seed("one", [1; 32]).unwrap()).await;
        let ops = Authorities::other("ops", 9);
        world.folder.write("ops.pem", ops.pem());
        let it = Self { world, ops };
        it.revoke(&[9]);
        it.world.configure(&(it.world.config() + TLS));
        it
    }

    /// Writes a list of the operators' authority that revokes these serial numbers.
    fn revoke(&self, serials: &[u64]) {
        let list = self.ops.revoke(serials, Validity::around(now(), HOUR));
        self.world.folder.write("ops.crl", list.unwrap());
    }

    fn named(&self, name: &str) -> Credential {
        certificate(&self.ops, vec![San::Uri(name.to_owned())])
    }

    /// The status of this page for a client with this certificate. `None` if there is no answer.
    async fn get(&self, router: &Running, credential: Option<&Credential>) -> Option<u16> {
        let client = router.admin_client(&[&self.world.authorities.servers], credential);
        let answer = client.send(Request::get("/debug/endpoints")).await;
        Some(answer.ok()?.status.as_u16())
    }
}

/// Catches: a page for somebody who is no operator.
#[tokio::test]
async fn only_operators_get_a_page() {
    let it = Admin::new().await;
    let router = it.world.router().await;
    let operator = it.named(OPERATOR);
    let prometheus = San::Dns("prometheus.ops.test".to_owned());
    let prometheus = certificate(&it.ops, vec![prometheus]);
    assert_eq!(it.get(&router, Some(&operator)).await, Some(200));
    assert_eq!(it.get(&router, Some(&prometheus)).await, Some(200));
    for other in ["spiffe://ops.test/other", "spiffe://ops.test/admin/x"] {
        assert_eq!(
            it.get(&router, Some(&it.named(other))).await,
            Some(403),
            "{other}"
        );
    }
    assert_eq!(router.events.count("admin_denied"), 2);
    assert_eq!(it.get(&router, None).await, None);
    // Customers' certificates are of another authority, whatever their name.
    let customer = San::Uri(OPERATOR.to_owned());
    let customer = certificate(&it.world.authorities.clients, vec![customer]);
    assert_eq!(it.get(&router, Some(&customer)).await, None);
    let refused = router.events.of("tls_refused");
    let reasons: Vec<_> = refused.iter().map(|line| line["reason"].as_str()).collect();
    assert_eq!(reasons, [Some("no_certificate"), Some("unknown_issuer")]);
    assert!(refused.iter().all(|line| line["listener"] == "admin"));
}

/// Catches: a revocation that a reload doesn't apply, and files of `[admin.tls]` that aren't read again.
#[tokio::test]
async fn a_reload_revokes_an_operator() {
    let it = Admin::new().await;
    let router = it.world.router().await;
    let operator = it.named(OPERATOR);
    assert_eq!(it.get(&router, Some(&operator)).await, Some(200));
    it.revoke(&[2]);
    router.reload().await;
    assert_eq!(it.get(&router, Some(&operator)).await, None);
    let line = &router.events.of("tls_refused")[0];
    assert_eq!(line["reason"], "certificate_revoked");

    it.revoke(&[9]);
    let other = TLS.replace(OPERATOR, "spiffe://ops.test/other");
    it.world.configure(&(it.world.config() + &other));
    router.reload().await;
    assert_eq!(it.get(&router, Some(&operator)).await, Some(403));

    it.world.configure(&it.world.config());
    let refused = router.reload_refused().await;
    assert!(refused.contains("admin.tls"), "{refused}");
    assert_eq!(it.get(&router, Some(&operator)).await, Some(403));
}

/// Catches: a list of `[admin.tls]` that ends unseen. No operator would get in from then on.
#[tokio::test]
async fn the_lists_of_operators_are_shown_with_their_ages() {
    let it = Admin::new().await;
    let lists = |router: &Running| {
        let lists = router.handle.revocation_lists();
        let lists = lists.into_iter().map(|list| (list.table, list.setting));
        lists.collect::<Vec<_>>()
    };
    let router = it.world.router().await;
    assert_eq!(lists(&router), [("admin.tls", 0)]);
    let client = router.admin_client(&[&it.world.authorities.servers], Some(&it.named(OPERATOR)));
    let page = client.send(Request::get("/readyz")).await.unwrap().body;
    let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
    let list = &page["revocation_lists"][0];
    assert_eq!(list["setting"], "admin.tls.crl[0]", "{page}");
    assert_eq!(list["stale"], false);
}

/// Catches: a router that starts without a file, and then lets nobody or everybody in.
#[tokio::test]
async fn a_missing_file_is_named() {
    for file in ["ops.pem", "ops.crl", "server.key"] {
        let it = Admin::new().await;
        let config = (it.world.config() + TLS).replace(&format!("\"{file}\""), "\"missing\"");
        it.world.configure(&config);
        let started = boot(&it.world.folder.path("cellway.toml")).await;
        let error = started.err().unwrap();
        assert!(error.contains("missing"), "{file}: {error}");
        if file != "server.key" {
            assert!(error.contains("admin.tls."), "{file}: {error}");
        }
    }
}
