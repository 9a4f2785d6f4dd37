use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::*;
use crate::env::Stat;
use crate::env::tokio::TokioEnv;

/// A host whose files are in memory, and whose disk can be full.
#[derive(Clone, Default)]
struct Memory {
    files: Arc<Mutex<BTreeMap<String, Bytes>>>,
    full: Arc<Mutex<bool>>,
}

impl Store for Memory {
    async fn read(&self, path: &str, limit: usize, private: Privacy) -> io::Result<Bytes> {
        assert_eq!(
            private,
            Privacy::Own,
            "the router's own state is read as such"
        );
        let found = self.files.lock().unwrap().get(path).cloned();
        match found {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(content) if content.len() > limit => Err(io::ErrorKind::FileTooLarge.into()),
            Some(content) => Ok(content),
        }
    }

    async fn replace(&self, path: &str, content: Bytes) -> io::Result<()> {
        if *self.full.lock().unwrap() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.files.lock().unwrap().insert(path.to_owned(), content);
        Ok(())
    }

    async fn stat(&self, _: &str) -> io::Result<Stat> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The present machine with [`Memory`] for a disk.
#[derive(Clone)]
struct Host(TokioEnv, Memory);

impl Env for Host {
    type Stream = <TokioEnv as Env>::Stream;
    type Listener = <TokioEnv as Env>::Listener;
    type Store = Memory;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Self::Stream> {
        self.0.connect(host, port).await
    }

    async fn bind(&self, address: SocketAddr, shared: bool) -> io::Result<Self::Listener> {
        self.0.bind(address, shared).await
    }

    fn unix_now(&self) -> Unix {
        self.0.unix_now()
    }

    fn fill(&self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    async fn heavy<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }

    fn store(&self) -> &Memory {
        &self.1
    }
}

const SOURCE: &str = "https://idp.example/keys";

fn host() -> (Host, Keep) {
    (Host(TokioEnv::new(), Memory::default()), Keep::new("state"))
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
    let whole = host.1.files.lock().unwrap()[&path].clone();
    for len in 0..whole.len() {
        host.1
            .files
            .lock()
            .unwrap()
            .insert(path.clone(), whole.slice(..len));
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
    let whole = host.1.files.lock().unwrap()[&path].clone();
    for at in 0..whole.len() {
        let mut altered = whole.to_vec();
        altered[at] ^= 1;
        host.1
            .files
            .lock()
            .unwrap()
            .insert(path.clone(), altered.into());
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
    let put = |text: &'static str| {
        host.1
            .files
            .lock()
            .unwrap()
            .insert(path.clone(), text.into())
    };
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
    let whole = host.1.files.lock().unwrap()[&path].clone();
    for len in 0..whole.len() {
        host.1
            .files
            .lock()
            .unwrap()
            .insert(path.clone(), whole.slice(..len));
        assert_eq!(load(&host, &keep).await.unwrap(), Some(kept("two", 150)));
    }
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_document() {
    let (host, keep) = host();
    keep.save(&host, &Slot::Registry, SOURCE, kept("old", 1))
        .await
        .unwrap();
    *host.1.full.lock().unwrap() = true;
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
