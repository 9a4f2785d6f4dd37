//! Passes interim answers on, such as `103 Early Hints` (RFC 8297), from a cell to a client.
//!
//! They are sanitized like final answers. `100 Continue` isn't passed on, because the router removes
//! `Expect` from requests and answers it itself, when it begins to read the body.

use cellway_core::headers;
use cellway_core::http1::Interim;
use cellway_env::Env;
use http::{HeaderName, HeaderValue, Response};

use super::Forwarding;
use crate::data_plane::well_formed::is_padded;
use crate::observe::event::Sink;

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    /// Passes on an interim answer of an HTTP/2 cell, if the client can get it and the request has not
    /// had too many.
    pub(super) fn hear(&self, interim: Response<()>) {
        if !self.hears_interims {
            return;
        }
        let (head, ()) = interim.into_parts();
        if is_padded(&head.headers) {
            return;
        }
        let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let bytes = head.headers.iter().map(field).sum();
        if self.allowance.takes(bytes)
            && let Some(interim) = Interim::new(head.status, head.headers)
        {
            self.pass_on(interim);
        }
    }

    /// Hands an interim answer over to the client's side, which sends it as soon as this task is
    /// pending, or before the final answer.
    pub(super) fn pass_on(&self, mut interim: Interim) {
        let rules = self.config.header_rules();
        if headers::sanitize_response(rules, &mut interim.headers).is_err() {
            return;
        }
        match self.report.turns.interims() {
            Some(interims) => {
                let mut answer = Response::new(());
                *answer.status_mut() = interim.status;
                *answer.headers_mut() = interim.headers;
                interims.add(answer);
            }
            None => {
                let mut bytes = Vec::new();
                interim.write(&mut bytes);
                self.report.connection.activity.interims().add(&bytes);
            }
        }
    }
}
