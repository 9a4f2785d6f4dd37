use super::*;

fn trailer(values: &[&'static str]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(TRAILER, HeaderValue::from_static(value));
    }
    let value = announced(&HeaderRules::default(), &headers)?;
    Some(value.to_str().unwrap().to_owned())
}

#[test]
fn only_allowed_trailers_are_announced() {
    let given = [
        "X-Sum,  x-other",
        "content-length, Host, x-cellway-roles, x_cellway_sub, (",
        ",",
    ];
    assert_eq!(trailer(&given).as_deref(), Some("x-sum, x-other"));
    assert_eq!(trailer(&["transfer-encoding"]), None);
    assert_eq!(trailer(&[]), None);
}

#[test]
fn grpc_trailers_are_announced_once() {
    let mut headers = HeaderMap::new();
    headers.insert(TRAILER, HeaderValue::from_static("x-sum, grpc-status"));
    announce_grpc(&mut headers);
    let all = "x-sum, grpc-status, grpc-message, grpc-status-details-bin";
    assert_eq!(headers[TRAILER], all);
}
