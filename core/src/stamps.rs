//! The headers that the router sets on a request once it is allowed.

use http::header::{HeaderName, HeaderValue};

use crate::decision::Allow;
use crate::headers::{HeaderRules, STAMP_NAMES};
use crate::text::Text;

/// Headers to set on a forwarded request, in the order of [`STAMP_NAMES`].
pub type Stamps<'a> = [(&'a HeaderName, HeaderValue); STAMP_NAMES.len()];

impl HeaderRules {
    /// The headers to set on an allowed request. Every header is present, and empty if its value is
    /// unknown, so that a cell never reads a value that a client sent.
    #[expect(clippy::expect_used, reason = "both arrays have the same length")]
    pub fn stamps(&self, allow: &Allow, request_id: HeaderValue) -> Stamps<'_> {
        let identity = &*allow.identity;
        let text = |value: &Option<Text>| match value {
            Some(text) => text.header_value().clone(),
            None => EMPTY,
        };
        let values = [
            allow.cell.id.header_value().clone(),
            text(&identity.tenant),
            text(&identity.subject),
            text(&identity.workspace),
            text(&identity.org),
            roles(&identity.roles),
            HeaderValue::from_static(allow.reason.as_str()),
            HeaderValue::from(allow.placement_epoch),
            request_id,
        ];
        let mut names = self.stamp_names().iter();
        values.map(|value| (names.next().expect("as many names as values"), value))
    }
}

const EMPTY: HeaderValue = HeaderValue::from_static("");

/// Roles as a comma-separated list; a single role needs no copy.
fn roles(roles: &[Text]) -> HeaderValue {
    match roles {
        [] => EMPTY,
        [one] => one.header_value().clone(),
        many => {
            let parts: Vec<&str> = many.iter().map(Text::as_str).collect();
            // Each part is a valid header value, and so are commas between them.
            HeaderValue::try_from(parts.join(",")).unwrap_or(EMPTY)
        }
    }
}
