//! Passes interim answers on, such as `103 Early Hints` (RFC 8297), from an HTTP/1.1 cell to an HTTP/1.1
//! client.
//!
//! They are sanitized like final answers. `100 Continue` isn't passed on, because the router removes
//! `Expect` from requests and answers it itself, when it begins to read the body.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use cellway_core::headers;
use cellway_core::http1::Interim;
use cellway_env::Env;
use http::Response;
use hyper::body::Incoming as Http1Body;

use super::Forwarding;
use crate::data_plane::http1::Heads;
use crate::data_plane::incoming::Incoming;
use crate::observe::event::Sink;

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    /// Polls for the final answer. Passes on the interim answers that came before it.
    pub(super) fn poll_answer<F>(
        &self,
        heads: &Heads,
        answer: Pin<&mut impl Future<Output = Result<Response<Http1Body>, F>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<Incoming>, F>> {
        let polled = answer.poll(cx);
        if self.hears_interims {
            match polled.is_pending() {
                true => heads.listen(cx),
                false => heads.hush(),
            }
            for head in heads.take() {
                self.pass_on(&head);
            }
        }
        polled.map_ok(|response| response.map(Incoming::from))
    }

    /// The client's connection writes it as soon as this task is pending, or before the final answer.
    fn pass_on(&self, head: &[u8]) {
        let Some(mut interim) = Interim::read(head) else {
            return;
        };
        let rules = self.config.header_rules();
        if headers::sanitize_response(rules, &mut interim.headers).is_ok() {
            let mut bytes = Vec::with_capacity(head.len());
            interim.write(&mut bytes);
            self.report.connection.activity.interims().add(&bytes);
        }
    }
}
