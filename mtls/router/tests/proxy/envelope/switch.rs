//! Envelopes of requests that switch the protocol.

use cellway_core::envelope::EnvelopeRefused;
use cellway_router::settings::EnvelopeForm;
use cellway_testbed::{Protocol, Refused, Request};
use http::StatusCode;

use super::world::{KeyFolder, Sealing};

async fn verifying(scheme: &str) -> Sealing {
    let folder = KeyFolder::new();
    folder.sign(&[("k1", 0)]).await;
    let world = Sealing::start_over(folder, Some(EnvelopeForm::Jws), scheme).await;
    let world = world.unwrap();
    world.cells_verify().await;
    world
}

/// An envelope is bound to the method that was decided. A request to switch is a `GET` over HTTP/1.1
/// and a CONNECT over HTTP/2, and the router changes one into the other. The cell agrees only if the
/// envelope is valid for the request that it got.
///
/// Catches: an envelope that is bound to `CONNECT` in one of the four mixes, and a verifier that
/// takes the request's own method.
#[tokio::test]
async fn an_envelope_holds_for_a_switch_between_all_versions() {
    for scheme in ["http", "h2c"] {
        let world = verifying(scheme).await;
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let client = world.client(protocol, "acme");
            let mut connection = client.connect().await.unwrap();
            let opened = connection.websocket(Request::get("/chat?x=1")).await;
            assert!(opened.is_ok(), "{protocol:?} to {scheme}: {opened:?}");
        }
    }
}

/// The other test shows nothing if cells agree without an envelope.
#[tokio::test]
async fn a_cell_that_wants_an_envelope_switches_for_nobody_else() {
    for scheme in ["http", "h2c"] {
        let world = verifying(scheme).await;
        let mut connection = world.anonymous(Protocol::Http1).connect().await.unwrap();
        let refused = connection.websocket(Request::get("/")).await.unwrap_err();
        let Refused::Answer(head, body) = *refused else {
            panic!("{refused:?}");
        };
        assert_eq!(head.status, StatusCode::FORBIDDEN);
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains(EnvelopeRefused::Missing.as_str()), "{text}");
    }
}
