//! The task that drives the key source.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cellway_core::keys::{JwksFetchError, KeyAction, KeyNotice, KeySource};
use cellway_env::Env;
use cellway_env::fetch::{Answer, Client, FetchError, Get, KEYS_BYTES_MAX, SourceUrl};
use http::HeaderValue;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::{JwksTiming, Published};

/// The one fetch in flight. It ends with the task.
type Fetch = Pin<Box<dyn Future<Output = Result<Answer, FetchError>> + Send>>;

/// Owns the key source. Ends with the last [`JwksClient`](super::JwksClient).
pub(super) struct Task<E, N> {
    pub(super) published: Arc<Published<E>>,
    pub(super) source: KeySource,
    pub(super) client: Client<E>,
    pub(super) url: SourceUrl,
    pub(super) timing: JwksTiming,
    pub(super) notices: N,
    pub(super) wanted: mpsc::Receiver<Box<str>>,
    /// The last accepted document with its `ETag`.
    pub(super) last: Option<(Bytes, Option<HeaderValue>)>,
}

impl<E: Env, N: Fn(&KeyNotice) + Send> Task<E, N> {
    pub(super) async fn run(mut self) {
        let mut fetch: Option<Fetch> = None;
        self.source.handle_timeout(self.published.clock.mono());
        loop {
            self.drain(&mut fetch, None);
            let wake = self.source.poll_timeout();
            let wake = wake.map(|(at, _)| self.published.clock.instant(at));
            tokio::select! {
                biased;
                answer = ended(&mut fetch) => {
                    fetch = None;
                    let etag = self.take(answer);
                    self.drain(&mut fetch, etag);
                }
                kid = self.wanted.recv() => match kid {
                    Some(kid) => {
                        let now = self.published.clock.mono();
                        self.source.handle_unknown_kid(now, Some(&kid));
                    }
                    None => return,
                },
                () = at(wake) => self.source.handle_timeout(self.published.clock.mono()),
            }
        }
    }

    /// Gives the answer to the source. Returns the `ETag` of a new document.
    fn take(&mut self, answer: Result<Answer, FetchError>) -> Option<HeaderValue> {
        let now = self.published.clock.now();
        let (max_age, body, etag) = match (answer, &self.last) {
            (
                Ok(Answer::Document {
                    body,
                    etag,
                    max_age,
                }),
                _,
            ) => (max_age, body, etag),
            (Ok(Answer::NotModified { max_age }), Some((body, etag))) => {
                (max_age, body.clone(), etag.clone())
            }
            (Ok(Answer::NotModified { .. }), None) => {
                self.source
                    .handle_fetched(now, Err(JwksFetchError::Protocol));
                return None;
            }
            (Err(error), _) => {
                self.source.handle_fetched(now, Err(error.kind()));
                return None;
            }
        };
        self.source.set_fresh(self.timing.fresh(max_age));
        self.source.handle_fetched(now, Ok(body));
        etag
    }

    /// Does what the source asks for. `etag` belongs to the document that the source may save now. The
    /// `ETag` of a refused document isn't kept, so that the router sends the document again.
    fn drain(&mut self, fetch: &mut Option<Fetch>, etag: Option<HeaderValue>) {
        while let Some(action) = self.source.poll_output() {
            match action {
                KeyAction::Fetch { .. } => *fetch = Some(self.fetch()),
                KeyAction::Save { body, .. } => self.last = Some((body, etag.clone())),
                KeyAction::Changed => {
                    self.published.view.store(Arc::clone(self.source.view()));
                    self.published.changed.notify_waiters();
                }
                KeyAction::Notice(notice) => (self.notices)(&notice),
            }
        }
    }

    fn fetch(&self) -> Fetch {
        let (client, url) = (self.client.clone(), self.url.clone());
        let etag = self.last.as_ref().and_then(|(_, etag)| etag.clone());
        Box::pin(async move {
            let get = Get {
                url: &url,
                if_none_match: etag.as_ref(),
                authorization: None,
                body_max: KEYS_BYTES_MAX,
            };
            client.get(get).await
        })
    }
}

async fn ended(fetch: &mut Option<Fetch>) -> Result<Answer, FetchError> {
    match fetch {
        Some(fetch) => fetch.await,
        None => pending().await,
    }
}

async fn at(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
