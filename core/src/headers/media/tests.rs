use super::*;

fn of(values: &[&str]) -> Grpc {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
    }
    Grpc::of(&headers)
}

#[test]
fn one_media_type_is_grpcs_or_not() {
    for value in [
        "application/grpc",
        "Application/GRPC",
        " application/grpc\t",
        "application/grpc+proto",
        "application/grpc;",
        "application/grpc ; charset=utf-8; a=\"b;, \\\" c\"",
    ] {
        assert_eq!(of(&[value]), Grpc::Yes, "{value}");
    }
    for value in [
        "",
        "application/grpc-web",
        "application/grpc-web-text+proto",
        "application/grpcs",
        "application/json",
        "application/json, text/html",
        "text/plain; charset",
        "text/plain; note=\"application/grpc\"",
    ] {
        assert_eq!(of(&[value]), Grpc::No, "{value}");
    }
    assert_eq!(of(&[]), Grpc::No);
    assert_eq!(of(&["text/html", "application/json"]), Grpc::No);
}

#[test]
fn ambiguous_content_types_are_neither() {
    for value in [
        "application/grpc, application/json",
        "application/grpc;, application/json",
        "application/grpc+x, application/json",
        "application/json, application/grpc",
        "application/grpc application/json",
        "application/grpc; a=\"b",
        "application/grpc; a",
        "application/grpc/x",
        "application/grpc+",
        "\"application/grpc\"",
    ] {
        assert_eq!(of(&[value]), Grpc::Unclear, "{value}");
    }
    let pair = ["application/grpc", "application/grpc"];
    assert_eq!(of(&pair), Grpc::Unclear);
    assert_eq!(of(&["application/json", "application/grpc"]), Grpc::Unclear);
}
