use super::*;

/// An extended CONNECT for this protocol.
fn connect(protocol: &'static str) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = Method::CONNECT;
    parts.extensions.insert(Protocol::from_static(protocol));
    parts
}

/// Catches: an extended CONNECT that no cell can be asked for and that goes on as a GET. Its client
/// would take the cell's 200 for a switch.
#[test]
fn a_connect_for_a_protocol_that_is_no_field_value_stays_a_connect() {
    let mut parts = connect("web\nsocket");
    assert_eq!(take_connect(&mut parts), None);
    assert_eq!(parts.method, Method::CONNECT);
    let mut parts = connect("websocket");
    assert_eq!(take_connect(&mut parts).unwrap(), "websocket");
    assert_eq!(parts.method, Method::GET);
}
