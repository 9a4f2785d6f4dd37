use cellway_env::tokio::TokioEnv;

use super::*;

/// An extended CONNECT for this protocol.
fn connect(protocol: &'static str) -> Parts {
    let mut request = Request::new(());
    let client = hyper::upgrade::on(&mut request);
    let (mut parts, ()) = request.into_parts();
    parts.method = Method::CONNECT;
    parts.extensions.insert(Protocol::from_static(protocol));
    parts.extensions.insert(client);
    parts
}

/// Catches: an extended CONNECT that no cell can be asked for and that goes on as a GET. Its client
/// would take the cell's 200 for a switch.
#[test]
fn a_connect_for_a_protocol_that_is_no_field_value_stays_a_connect() {
    let env = TokioEnv::new();
    let mut parts = connect("web\nsocket");
    assert!(Upgrade::take(&env, &mut parts, false).is_none());
    assert_eq!(parts.method, Method::CONNECT);
    let mut parts = connect("websocket");
    assert!(Upgrade::take(&env, &mut parts, false).is_some());
    assert_eq!(parts.method, Method::GET);
}
