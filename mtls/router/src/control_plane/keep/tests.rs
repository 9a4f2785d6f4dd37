use super::*;
use crate::testing::Host;

const SOURCE: &str = "https://idp.example/keys";

fn host() -> (Host, Keep) {
    (Host::new(), Keep::new("state"))
}

fn kept(body: &'static str, at: u64) -> Kept {
    Kept {
        body: body.into(),
        fetched_at: Unix::from_secs(at),
    }
}

async fn load(host: &Host, keep: &Keep) -> Result<Option<Kept>, KeepRefused> {
    let loaded = keep.load(host, &Slot::Registry, SOURCE, 1_000).await;
    loaded.map(|found| found.map(|(_, kept)| kept))
}

#[tokio::test]
async fn gives_back_what_it_kept() {
    let (host, keep) = host();
    assert_eq!(load(&host, &keep).await.unwrap(), None);
    let saved = kept("body\nof two lines", 1_700_000_000);
    keep.save(&host, &Slot::Registry, SOURCE, saved.clone())
        .await
        .unwrap();
    assert_eq!(load(&host, &keep).await.unwrap(), Some(saved));
    let other = Slot::Keys("main".to_owned());
    assert_eq!(keep.load(&host, &other, SOURCE, 1_000).await.unwrap(), None);
}

#[tokio::test]
async fn refuses_every_torn_file() {
    let (host, keep) = host();
    keep.save(&host, &Slot::Registry, SOURCE, kept("the body", 7))
        .await
        .unwrap();
    let path = keep.path(&Slot::Registry);
    let whole = host.disk.get(&path).unwrap();
    for len in 0..whole.len() {
        host.disk.put(&path, whole.slice(..len));
        assert!(load(&host, &keep).await.is_err(), "cut at {len}");
    }
}

#[tokio::test]
async fn refuses_every_altered_byte() {
    let (host, keep) = host();
    keep.save(&host, &Slot::Registry, SOURCE, kept("the body", 7))
        .await
        .unwrap();
    let path = keep.path(&Slot::Registry);
    let whole = host.disk.get(&path).unwrap();
    for at in 0..whole.len() {
        let mut altered = whole.to_vec();
        altered[at] ^= 1;
        host.disk.put(&path, altered);
        let loaded = load(&host, &keep).await;
        assert!(loaded.is_err(), "altered at {at}: {loaded:?}");
    }
}

#[tokio::test]
async fn refuses_other_sources_formats_and_files() {
    let (host, keep) = host();
    let elsewhere = "https://other.example/keys";
    keep.save(&host, &Slot::Registry, elsewhere, kept("x", 7))
        .await
        .unwrap();
    let refused = load(&host, &keep).await.unwrap_err();
    assert!(matches!(refused, KeepRefused::Source(s) if s == elsewhere));

    let path = keep.path(&Slot::Registry);
    let put = |text: &'static str| host.disk.put(&path, text);
    put("{\"cellway_keep\":2,\"something\":\"new\"}\nbody");
    assert!(matches!(
        load(&host, &keep).await,
        Err(KeepRefused::Format(2))
    ));
    for foreign in ["", "\n", "{}\n", "{\"keys\":[]}", "[1]\nx", "\u{0}\u{0}\n"] {
        put(foreign);
        let refused = load(&host, &keep).await;
        assert!(matches!(refused, Err(KeepRefused::NotOurs)), "{foreign:?}");
    }
}

#[tokio::test]
async fn a_confirmation_renews_its_own_document_only() {
    let (host, keep) = host();
    let slot = Slot::Registry;
    let id = keep
        .save(&host, &slot, SOURCE, kept("one", 100))
        .await
        .unwrap();
    keep.confirm(&host, &slot, &id, Unix::from_secs(200))
        .await
        .unwrap();
    assert_eq!(load(&host, &keep).await.unwrap(), Some(kept("one", 200)));

    // Another document, older than the confirmation, doesn't become younger by it.
    let other = keep
        .save(&host, &slot, SOURCE, kept("two", 150))
        .await
        .unwrap();
    assert_eq!(load(&host, &keep).await.unwrap(), Some(kept("two", 150)));

    // A confirmation from before the document's own time says nothing.
    keep.confirm(&host, &slot, &other, Unix::from_secs(50))
        .await
        .unwrap();
    assert_eq!(load(&host, &keep).await.unwrap(), Some(kept("two", 150)));

    // A torn one was never written.
    keep.confirm(&host, &slot, &other, Unix::from_secs(999))
        .await
        .unwrap();
    let path = keep.confirmation(&slot);
    let whole = host.disk.get(&path).unwrap();
    for len in 0..whole.len() {
        host.disk.put(&path, whole.slice(..len));
        assert_eq!(load(&host, &keep).await.unwrap(), Some(kept("two", 150)));
    }
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_document() {
    let (host, keep) = host();
    keep.save(&host, &Slot::Registry, SOURCE, kept("old", 1))
        .await
        .unwrap();
    host.disk.fill_up();
    let saved = keep
        .save(&host, &Slot::Registry, SOURCE, kept("new", 2))
        .await;
    assert_eq!(saved.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(load(&host, &keep).await.unwrap(), Some(kept("old", 1)));
}

#[test]
fn a_name_never_leads_elsewhere_or_to_anothers_file() {
    let keep = Keep::new("state");
    let path = |name: &str| keep.path(&Slot::Keys(name.to_owned()));
    assert_eq!(path("main-1_a"), "state/keys-main-1_a.keep");
    assert_eq!(
        path("../../etc/x"),
        "state/keys-%2e%2e%2f%2e%2e%2fetc%2fx.keep"
    );
    assert_ne!(path("Main").to_lowercase(), path("main"));
    assert_ne!(path("a%2e"), path("a."));
    let registry = keep.path(&Slot::Registry);
    assert_ne!(path("registry"), registry);
}
