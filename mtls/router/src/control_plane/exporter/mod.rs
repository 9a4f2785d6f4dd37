//! Sends spans to a collector, in OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! One task sends one batch after the other. A batch that the collector doesn't take is lost and
//! counted, and is not sent again: spans are worth less than the memory that would keep them while a
//! collector is down.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_env::Env;
use cellway_env::fetch::{Client, FetchError, Post};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::observe::Reporter;
use crate::observe::event::{Event, Sink, SpanOutcome};
use crate::observe::spans::{Encoded, Spans, export};
use crate::settings::OtlpSettings;
use crate::view::ViewCell;

/// The most spans of one batch.
const BATCH_MAX: usize = 512;
/// How long a batch waits for more spans.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// The type of an `ExportTraceServiceRequest` in Protocol Buffers.
const CONTENT_TYPE: &str = "application/x-protobuf";

/// The task that sends spans.
#[derive(Debug)]
pub(crate) struct Exporter<E: Env, S> {
    pub(crate) client: Client<E>,
    pub(crate) views: Arc<ViewCell>,
    pub(crate) reporter: Reporter<E, S>,
    pub(crate) spans: Arc<Spans>,
    pub(crate) waiting: mpsc::Receiver<Encoded>,
}

impl<E: Env, S: Sink> Exporter<E, S> {
    /// Sends spans until the router has drained.
    pub(crate) async fn run(mut self) {
        let mut open = true;
        while open {
            tokio::select! {
                biased;
                first = self.waiting.recv() => match first {
                    Some(first) => open = self.batch(first).await,
                    None => open = false,
                },
                () = self.spans.closing() => open = false,
            }
        }
        while let Ok(first) = self.waiting.try_recv() {
            let mut batch = vec![first];
            self.fill(&mut batch);
            self.send(&batch).await;
        }
        self.report_lost();
        self.spans.is_flushed();
    }

    /// Collects a batch and sends it. Returns whether more may follow.
    async fn batch(&mut self, first: Encoded) -> bool {
        let mut batch = vec![first];
        let until = Instant::now() + BATCH_DELAY;
        let mut open = true;
        while open && batch.len() < BATCH_MAX {
            tokio::select! {
                biased;
                more = timeout_at(until, self.waiting.recv()) => match more {
                    Ok(Some(span)) => batch.push(span),
                    Ok(None) => open = false,
                    Err(_) => break,
                },
                () = self.spans.closing() => open = false,
            }
        }
        self.send(&batch).await;
        open
    }

    /// Adds what waits already.
    fn fill(&mut self, batch: &mut Vec<Encoded>) {
        while batch.len() < BATCH_MAX
            && let Ok(span) = self.waiting.try_recv()
        {
            batch.push(span);
        }
    }

    async fn send(&self, batch: &[Encoded]) {
        self.report_lost();
        let settings = self.views.config().settings.trace.clone();
        // A reload may have turned it off.
        let Some(settings) = settings.and_then(|trace| trace.otlp) else {
            return self.report(batch.len() as u64, SpanOutcome::NotSent, None);
        };
        let sent = self.post(&settings, batch).await;
        let outcome = match &sent {
            Ok(()) => SpanOutcome::Sent,
            Err(_) => SpanOutcome::NotSent,
        };
        self.report(batch.len() as u64, outcome, sent.as_ref().err());
    }

    async fn post(&self, settings: &OtlpSettings, batch: &[Encoded]) -> Result<(), FetchError> {
        let post = Post {
            url: &settings.url,
            content_type: CONTENT_TYPE,
            body: Bytes::from(export(&settings.service, batch)),
        };
        self.client.post(post).await
    }

    fn report_lost(&self) {
        let lost = self.spans.take_lost();
        if lost > 0 {
            self.report(lost, SpanOutcome::QueueFull, None);
        }
    }

    fn report(&self, count: u64, outcome: SpanOutcome, error: Option<&FetchError>) {
        self.reporter.emit(&Event::Spans {
            count,
            outcome,
            error,
        });
    }
}
