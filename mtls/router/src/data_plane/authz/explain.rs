//! Whether a request gets the explanation that it asks for.

use std::num::NonZeroU32;

use cellway_env::Env;
use http::HeaderValue;

use super::Case;
use crate::data_plane::explained::is_known;
use crate::observe::event::{Event, ExplainAnswer, Sink};
use crate::settings::ExplainSettings;

/// Notes that the request is explained, if its token is right and not too many others ask.
pub(super) fn ask<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    settings: Option<&ExplainSettings>,
    tokens: Option<&[HeaderValue]>,
) {
    let (Some(settings), Some(tokens)) = (settings, tokens) else {
        return;
    };
    let is_right = match tokens {
        [token] => is_known(&settings.tokens, token.as_bytes()),
        // It isn't clear which one is meant.
        _ => false,
    };
    let answer = match is_right {
        false => ExplainAnswer::WrongToken,
        true if case.takes_explanation(settings.rate.shared_by(NonZeroU32::MIN)) => {
            ExplainAnswer::Given
        }
        true => ExplainAnswer::OverRate,
    };
    if answer == ExplainAnswer::Given {
        case.explained.begin(settings.subjects);
    }
    case.tell(&Event::ExplainAsked {
        listener: case.name,
        peer: case.peer(),
        request_id: case.request_id.to_str().unwrap_or_default(),
        answer,
    });
}
