use super::*;
use crate::testing::Host;

const SOURCE: &str = "https://idp.example/keys";

fn document(body: &'static str, at: u64) -> Document {
    Document {
        body: body.into(),
        fetched_at: Unix::from_secs(at),
    }
}

/// A folder of last-known-good documents on a host's disk.
struct Saved {
    host: Host,
    folder: LastKnownGood,
}

impl Saved {
    fn new() -> Self {
        Self {
            host: Host::new(),
            folder: LastKnownGood::new("state"),
        }
    }

    /// A folder that has a registry from [`SOURCE`], and the path and content of its file.
    async fn with_registry() -> (Self, String, Bytes) {
        let saved = Self::new();
        saved.save(document("the body", 7)).await;
        let path = saved.folder.path(&Slot::Registry);
        let whole = saved.host.disk.get(&path).unwrap();
        (saved, path, whole)
    }

    /// Saves a registry from [`SOURCE`].
    async fn save(&self, document: Document) -> DocumentId {
        let slot = &Slot::Registry;
        let saved = self.folder.save(&self.host, slot, SOURCE, document);
        saved.await.unwrap()
    }

    /// Notes that the source still has this registry.
    async fn confirm(&self, id: &DocumentId, at: u64) {
        let at = Unix::from_secs(at);
        let confirmed = self.folder.confirm(&self.host, &Slot::Registry, id, at);
        confirmed.await.unwrap();
    }

    async fn load(&self) -> Result<Option<Document>, LoadError> {
        let slot = &Slot::Registry;
        let loaded = self.folder.load(&self.host, slot, SOURCE, 1_000).await;
        loaded.map(|found| found.map(|(_, document)| document))
    }
}

#[tokio::test]
async fn a_saved_document_is_loaded_from_its_own_slot() {
    let saved = Saved::new();
    assert_eq!(saved.load().await.unwrap(), None);
    let body = document("body\nof two lines", 1_700_000_000);
    saved.save(body.clone()).await;
    assert_eq!(saved.load().await.unwrap(), Some(body));
    let other = Slot::Keys("main".to_owned());
    let loaded = saved.folder.load(&saved.host, &other, SOURCE, 1_000).await;
    assert_eq!(loaded.unwrap(), None);
}

#[tokio::test]
async fn refuses_every_torn_file() {
    let (saved, path, whole) = Saved::with_registry().await;
    for len in 0..whole.len() {
        saved.host.disk.put(&path, whole.slice(..len));
        assert!(saved.load().await.is_err(), "cut at {len}");
    }
}

#[tokio::test]
async fn refuses_every_altered_byte() {
    let (saved, path, whole) = Saved::with_registry().await;
    for at in 0..whole.len() {
        let mut altered = whole.to_vec();
        altered[at] ^= 1;
        saved.host.disk.put(&path, altered);
        let loaded = saved.load().await;
        assert!(loaded.is_err(), "altered at {at}: {loaded:?}");
    }
}

#[tokio::test]
async fn refuses_other_sources_formats_and_files() {
    let Saved { host, folder } = &Saved::new();
    let elsewhere = "https://other.example/keys";
    let slot = &Slot::Registry;
    let saved = folder.save(host, slot, elsewhere, document("x", 7));
    saved.await.unwrap();
    let load = async || folder.load(host, slot, SOURCE, 1_000).await;
    let refused = load().await.unwrap_err();
    assert!(matches!(refused, LoadError::Source(s) if s == elsewhere));

    let path = folder.path(slot);
    let put = |text: &'static str| host.disk.put(&path, text);
    put("{\"cellway_keep\":2,\"something\":\"new\"}\nbody");
    assert!(matches!(load().await, Err(LoadError::Format(2))));
    for foreign in ["", "\n", "{}\n", "{\"keys\":[]}", "[1]\nx", "\u{0}\u{0}\n"] {
        put(foreign);
        let refused = load().await;
        assert!(matches!(refused, Err(LoadError::NotOurs)), "{foreign:?}");
    }
}

#[tokio::test]
async fn a_confirmation_renews_its_own_document_only() {
    let saved = Saved::new();
    let id = saved.save(document("one", 100)).await;
    saved.confirm(&id, 200).await;
    assert_eq!(saved.load().await.unwrap(), Some(document("one", 200)));

    // The confirmation doesn't renew another document that is older.
    let other = saved.save(document("two", 150)).await;
    assert_eq!(saved.load().await.unwrap(), Some(document("two", 150)));

    // A confirmation from before the document's own time is ignored.
    saved.confirm(&other, 50).await;
    assert_eq!(saved.load().await.unwrap(), Some(document("two", 150)));

    // A torn confirmation is ignored.
    saved.confirm(&other, 999).await;
    let path = saved.folder.confirmation(&Slot::Registry);
    let whole = saved.host.disk.get(&path).unwrap();
    for len in 0..whole.len() {
        saved.host.disk.put(&path, whole.slice(..len));
        assert_eq!(saved.load().await.unwrap(), Some(document("two", 150)));
    }
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_document() {
    let saved = Saved::new();
    saved.save(document("old", 1)).await;
    let Saved { host, folder } = &saved;
    host.disk.fill_up();
    let error = folder
        .save(host, &Slot::Registry, SOURCE, document("new", 2))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(saved.load().await.unwrap(), Some(document("old", 1)));
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
