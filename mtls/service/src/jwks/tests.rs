//! Tests with a page in memory that gives prepared answers, on paused time.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use cellway_env::tokio::TokioEnv;
use cellway_env::{Claim, Listener, Sharing};
use cellway_testbed::{Memory, Signer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::*;

/// A host whose every connection leads to one page.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    answers: VecDeque<String>,
    requests: Vec<String>,
    /// When each came.
    times: Vec<Instant>,
}

struct Nothing;

impl Listener for Nothing {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn accept_queued(&mut self) -> io::Result<Option<(DuplexStream, SocketAddr)>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Claim for Nothing {
    type Listener = Self;

    async fn listen(self) -> io::Result<Self> {
        Ok(self)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Env for Page {
    type Stream = DuplexStream;
    type Claim = Nothing;
    type Listener = Nothing;
    type Store = Memory;

    async fn connect(&self, _: &str, _: u16) -> io::Result<DuplexStream> {
        let (near, mut far) = duplex(1 << 22);
        let page = self.clone();
        TokioEnv::new().spawn(async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = far.read_u8().await else {
                    return;
                };
                request.push(byte);
            }
            let answer = page.answer(String::from_utf8(request).unwrap());
            match answer {
                // A client that has seen enough closes before the end.
                Some(answer) => drop(far.write_all(answer.as_bytes()).await),
                None => std::future::pending().await,
            }
        });
        Ok(near)
    }

    async fn claim(&self, _: SocketAddr, _: Sharing) -> io::Result<Nothing> {
        Ok(Nothing)
    }

    fn unix_now(&self) -> Unix {
        Unix::from_secs(1_800_000_000)
    }

    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        TokioEnv::new().spawn(task);
    }

    async fn heavy<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }

    fn store(&self) -> &Memory {
        unreachable!("key fetches use no files")
    }
}

impl Page {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next answer. The last one is repeated.
    fn answer(&self, request: String) -> Option<String> {
        let mut told = self.told();
        told.requests.push(request);
        told.times.push(Instant::now());
        match told.answers.len() {
            1 => told.answers.front().cloned(),
            _ => told.answers.pop_front(),
        }
    }

    fn asked(&self) -> usize {
        self.told().requests.len()
    }

    fn says(&self, answers: &[String]) {
        self.told().answers = answers.to_vec().into();
    }
}

fn set(kids: &[&str]) -> String {
    let jwk = |kid: &&str| {
        let seed = [u8::try_from(kid.len()).unwrap(); 32];
        Signer::from_seed(kid, seed).unwrap().jwk()
    };
    let keys: Vec<_> = kids.iter().map(jwk).collect();
    serde_json::json!({ "keys": keys }).to_string()
}

fn ok(headers: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n{headers}\r\n{body}")
}

/// A client of this page, and its notices.
fn start(page: &Page) -> (JwksClient<Page>, Arc<Mutex<Vec<KeyNotice>>>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let tls = Arc::new(ArcSwap::from_pointee(tls));
    let client = Client::new(page.clone(), tls, Duration::from_secs(5));
    let url = SourceUrl::parse("http://localhost/.well-known/cellway/jwks.json").unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notices = Arc::clone(&heard);
    let client = JwksClient::start(client, url, JwksTiming::default(), move |notice| {
        notices.lock().unwrap().push(notice.clone());
    });
    (client, heard)
}

fn has(client: &JwksClient<Page>, kid: &str) -> bool {
    // Looks into the set itself, because a lookup waits only for unknown keys.
    let jwks = |set: &KeySet| format!("{set:?}").contains(&format!("\"{kid}\""));
    client.keys().is_some_and(|set| jwks(&set))
}

/// Catches: an answer's `max-age` that is ignored, and a set that is fetched again although it is
/// fresh.
#[tokio::test(start_paused = true)]
async fn asks_again_before_the_set_is_older_than_it_says() {
    let page = Page::default();
    let unchanged = "HTTP/1.1 304 Not Modified\r\ncache-control: max-age=1000\r\n\r\n";
    page.says(&[
        ok(
            "cache-control: max-age=100\r\netag: \"a\"\r\n",
            &set(&["1"]),
        ),
        unchanged.to_owned(),
    ]);
    let (client, _) = start(&page);
    client.ready().await;
    assert!(has(&client, "1"));
    sleep(Duration::from_secs(99)).await;
    assert_eq!(page.asked(), 2);
    sleep(Duration::from_secs(600)).await;
    assert_eq!(page.asked(), 2, "the second answer was good for longer");
    assert!(has(&client, "1"), "which is still the first one's set");
    let told = page.told();
    assert!(!told.requests[0].contains("if-none-match"));
    assert!(told.requests[1].contains("if-none-match: \"a\""));
}

/// Catches: a page whose `max-age` makes clients fetch all the time, or never again.
#[tokio::test(start_paused = true)]
async fn what_the_page_says_of_itself_is_bounded() {
    for (headers, rest, most) in [
        ("cache-control: no-store\r\n", 60, 9),
        ("cache-control: max-age=99999999\r\n", 3_601, 2),
        ("", 301, 2),
    ] {
        let page = Page::default();
        page.says(&[ok(headers, &set(&["1"]))]);
        let (client, _) = start(&page);
        client.ready().await;
        sleep(Duration::from_secs(rest)).await;
        let asked = page.asked();
        assert!((2..=most).contains(&asked), "{headers}: {asked}");
    }
}

/// Catches: a bad answer that replaces a good set, or whose `ETag` is used later.
#[tokio::test(start_paused = true)]
async fn keeps_the_last_good_set_whatever_comes() {
    let huge = " ".repeat(KeySet::BYTES_MAX) + &set(&["1"]);
    let many: Vec<String> = (0..=KeySet::KEYS_MAX).map(|n| format!("k{n}")).collect();
    let many = set(&many.iter().map(String::as_str).collect::<Vec<_>>());
    for bad in [
        ok("etag: \"bad\"\r\n", r#"{"keys":[]}"#),
        ok("etag: \"bad\"\r\n", "<html>"),
        ok("etag: \"bad\"\r\n", &huge),
        ok("etag: \"bad\"\r\n", &many),
        "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_owned(),
        "garbage\r\n\r\n".to_owned(),
    ] {
        let page = Page::default();
        page.says(&[ok("etag: \"good\"\r\n", &set(&["1"])), bad.clone()]);
        let (client, heard) = start(&page);
        client.ready().await;
        sleep(Duration::from_secs(400)).await;
        assert!(page.asked() > 2, "it goes on asking");
        assert!(has(&client, "1"));
        assert_eq!(client.state(), KeyState::Stale);
        let bad = |n: &KeyNotice| matches!(n, KeyNotice::Refused(_) | KeyNotice::Failed(_));
        assert!(heard.lock().unwrap().iter().any(bad));
        let last = page.told().requests.last().cloned().unwrap();
        assert!(last.contains("if-none-match: \"good\""), "{last}");
        // But not forever.
        sleep(JwksTiming::default().stale_max).await;
        assert_eq!(client.state(), KeyState::Expired);
        assert!(client.keys().is_none());
        // When the page is good again, the client uses it at once.
        page.says(&[ok("", &set(&["22"]))]);
        sleep(JwksTiming::default().retry_max * 2).await;
        assert!(has(&client, "22") && !has(&client, "1"));
    }
}

/// Catches: a flood of invented ids that causes a flood of fetches, a request that waits too long,
/// and a new key that isn't found.
#[tokio::test(start_paused = true)]
async fn unknown_keys_share_one_fetch_in_a_cooldown() {
    let page = Page::default();
    page.says(&[ok("", &set(&["1"])), ok("", &set(&["1", "22"]))]);
    let (client, _) = start(&page);
    client.ready().await;
    let begun = Instant::now();
    let mut flood = JoinSet::new();
    for n in 0..200 {
        let client = client.clone();
        flood.spawn(async move { client.newer(&format!("made-up-{n}")).await });
    }
    client.newer("22").await;
    assert!(has(&client, "22"));
    flood.join_all().await;
    assert!(begun.elapsed() <= JwksTiming::default().wait_max);
    for n in 0..50 {
        client.newer(&format!("other-{n}")).await;
        sleep(Duration::from_secs(1)).await;
    }
    let cooldown = JwksTiming::default().cooldown;
    let times = page.told().times.clone();
    assert!(times.len() > 2, "what is wanted is looked for in the end");
    for pair in times[1..].windows(2) {
        assert!(pair[1] - pair[0] >= cooldown, "{times:?}");
    }
}

/// Catches: a request that hangs on a page that never answers.
#[tokio::test(start_paused = true)]
async fn waits_no_longer_than_it_may() {
    let page = Page::default();
    let (client, heard) = start(&page);
    let begun = Instant::now();
    client.newer("1").await;
    assert_eq!(begun.elapsed(), JwksTiming::default().wait_max);
    assert!(client.keys().is_none());
    assert_eq!(client.state(), KeyState::Empty);
    sleep(Duration::from_secs(5)).await;
    let heard = heard.lock().unwrap();
    assert!(matches!(heard[..], [KeyNotice::Failed(_)]), "{heard:?}");
}

/// Catches: a task that outlives the service.
#[tokio::test(start_paused = true)]
async fn stops_with_the_last_handle() {
    let page = Page::default();
    page.says(&[ok("", &set(&["1"]))]);
    let (client, _) = start(&page);
    client.ready().await;
    drop(client);
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(page.asked(), 1);
}
