use super::*;

fn restored(request: Request<()>) -> Request<()> {
    let request = request.map(|()| RequestBody::empty());
    let copied = Copied::of(&request);
    assert_eq!(copied.method().as_ref(), Some(request.method()));
    let restored = copied.restore(RequestBody::empty()).unwrap();
    restored.map(|_| ())
}

#[test]
fn a_restored_head_is_the_same() {
    for target in ["/", "/a%20b?c=d&e", "https://a.example:8443/x?y", "*"] {
        let request = Request::builder()
            .method("PROPFIND")
            .uri(target)
            .header("accept", "a")
            .header("cookie", "one")
            .header("cookie", "two")
            .header("x-empty", "")
            .header("x-bytes", &b"\xff\x80 \t"[..]);
        let mut request = request.body(()).unwrap();
        let mut secret = HeaderValue::from_static("id");
        secret.set_sensitive(true);
        request.headers_mut().insert("x-id", secret);
        let again = restored(request.clone());
        assert_eq!(again.method(), request.method());
        assert_eq!(again.uri(), request.uri());
        assert_eq!(again.headers(), request.headers());
        assert!(again.headers()["x-id"].is_sensitive());
        assert!(!again.headers()["accept"].is_sensitive());
    }
}
