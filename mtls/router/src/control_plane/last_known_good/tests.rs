use super::*;
use crate::testing::Host;

const SOURCE: &str = "https://idp.example/keys";

fn host() -> (Host, LastKnownGood) {
    (Host::new(), LastKnownGood::new("state"))
}

fn document(body: &'static str, at: u64) -> Document {
    Document {
        body: body.into(),
        fetched_at: Unix::from_secs(at),
    }
}

async fn load(host: &Host, last_known_good: &LastKnownGood) -> Result<Option<Document>, LoadError> {
    let loaded = last_known_good
        .load(host, &Slot::Registry, SOURCE, 1_000)
        .await;
    loaded.map(|found| found.map(|(_, document)| document))
}

#[tokio::test]
async fn gives_back_what_it_kept() {
    let (host, last_known_good) = host();
    assert_eq!(load(&host, &last_known_good).await.unwrap(), None);
    let saved = document("body\nof two lines", 1_700_000_000);
    last_known_good
        .save(&host, &Slot::Registry, SOURCE, saved.clone())
        .await
        .unwrap();
    assert_eq!(load(&host, &last_known_good).await.unwrap(), Some(saved));
    let other = Slot::Keys("main".to_owned());
    assert_eq!(
        last_known_good
            .load(&host, &other, SOURCE, 1_000)
            .await
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn refuses_every_torn_file() {
    let (host, last_known_good) = host();
    last_known_good
        .save(&host, &Slot::Registry, SOURCE, document("the body", 7))
        .await
        .unwrap();
    let path = last_known_good.path(&Slot::Registry);
    let whole = host.disk.get(&path).unwrap();
    for len in 0..whole.len() {
        host.disk.put(&path, whole.slice(..len));
        assert!(load(&host, &last_known_good).await.is_err(), "cut at {len}");
    }
}

#[tokio::test]
async fn refuses_every_altered_byte() {
    let (host, last_known_good) = host();
    last_known_good
        .save(&host, &Slot::Registry, SOURCE, document("the body", 7))
        .await
        .unwrap();
    let path = last_known_good.path(&Slot::Registry);
    let whole = host.disk.get(&path).unwrap();
    for at in 0..whole.len() {
        let mut altered = whole.to_vec();
        altered[at] ^= 1;
        host.disk.put(&path, altered);
        let loaded = load(&host, &last_known_good).await;
        assert!(loaded.is_err(), "altered at {at}: {loaded:?}");
    }
}

#[tokio::test]
async fn refuses_other_sources_formats_and_files() {
    let (host, last_known_good) = host();
    let elsewhere = "https://other.example/keys";
    last_known_good
        .save(&host, &Slot::Registry, elsewhere, document("x", 7))
        .await
        .unwrap();
    let refused = load(&host, &last_known_good).await.unwrap_err();
    assert!(matches!(refused, LoadError::Source(s) if s == elsewhere));

    let path = last_known_good.path(&Slot::Registry);
    let put = |text: &'static str| host.disk.put(&path, text);
    put("{\"cellway_keep\":2,\"something\":\"new\"}\nbody");
    assert!(matches!(
        load(&host, &last_known_good).await,
        Err(LoadError::Format(2))
    ));
    for foreign in ["", "\n", "{}\n", "{\"keys\":[]}", "[1]\nx", "\u{0}\u{0}\n"] {
        put(foreign);
        let refused = load(&host, &last_known_good).await;
        assert!(matches!(refused, Err(LoadError::NotOurs)), "{foreign:?}");
    }
}

#[tokio::test]
async fn a_confirmation_renews_its_own_document_only() {
    let (host, last_known_good) = host();
    let slot = Slot::Registry;
    let id = last_known_good
        .save(&host, &slot, SOURCE, document("one", 100))
        .await
        .unwrap();
    last_known_good
        .confirm(&host, &slot, &id, Unix::from_secs(200))
        .await
        .unwrap();
    assert_eq!(
        load(&host, &last_known_good).await.unwrap(),
        Some(document("one", 200))
    );

    // The confirmation doesn't renew another document that is older.
    let other = last_known_good
        .save(&host, &slot, SOURCE, document("two", 150))
        .await
        .unwrap();
    assert_eq!(
        load(&host, &last_known_good).await.unwrap(),
        Some(document("two", 150))
    );

    // A confirmation from before the document's own time is ignored.
    last_known_good
        .confirm(&host, &slot, &other, Unix::from_secs(50))
        .await
        .unwrap();
    assert_eq!(
        load(&host, &last_known_good).await.unwrap(),
        Some(document("two", 150))
    );

    // A torn confirmation is ignored.
    last_known_good
        .confirm(&host, &slot, &other, Unix::from_secs(999))
        .await
        .unwrap();
    let path = last_known_good.confirmation(&slot);
    let whole = host.disk.get(&path).unwrap();
    for len in 0..whole.len() {
        host.disk.put(&path, whole.slice(..len));
        assert_eq!(
            load(&host, &last_known_good).await.unwrap(),
            Some(document("two", 150))
        );
    }
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_document() {
    let (host, last_known_good) = host();
    last_known_good
        .save(&host, &Slot::Registry, SOURCE, document("old", 1))
        .await
        .unwrap();
    host.disk.fill_up();
    let saved = last_known_good
        .save(&host, &Slot::Registry, SOURCE, document("new", 2))
        .await;
    assert_eq!(saved.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(
        load(&host, &last_known_good).await.unwrap(),
        Some(document("old", 1))
    );
}

#[test]
fn a_name_never_leads_elsewhere_or_to_anothers_file() {
    let last_known_good = LastKnownGood::new("state");
    let path = |name: &str| last_known_good.path(&Slot::Keys(name.to_owned()));
    assert_eq!(path("main-1_a"), "state/keys-main-1_a.keep");
    assert_eq!(
        path("../../etc/x"),
        "state/keys-%2e%2e%2f%2e%2e%2fetc%2fx.keep"
    );
    assert_ne!(path("Main").to_lowercase(), path("main"));
    assert_ne!(path("a%2e"), path("a."));
    let registry = last_known_good.path(&Slot::Registry);
    assert_ne!(path("registry"), registry);
}
