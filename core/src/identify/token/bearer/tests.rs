use super::*;

#[test]
fn finds_a_token_in_the_query_by_its_name() {
    for path in [
        "/?access_token=a",
        "/a?b=c&access_token=a",
        "/?b;access_token=a",
        "/?access_token",
        "/?access_token=",
        "/?Access_Token=a",
        "/?%61ccess_token=a",
        "/?access%5ftoken=a",
        "/?%61%63%63%65%73%73%5F%74%6F%6B%65%6E=a",
        "/?access_token[]=a",
        "/?access_token%5B0%5D=a",
        "/?a?b&access_token=a",
    ] {
        assert!(names_token(path), "{path}");
    }
    for path in [
        "/",
        "/access_token=a",
        "/?",
        "/?token=a",
        "/?access_tokens=a",
        "/?my_access_token=a",
        "/?a=access_token",
        "/?a=b%26access_token=c",
        "/?access_toke%",
        "/?access_toke%6",
        "/?%2561ccess_token=a",
        "/?accesstoken=a",
    ] {
        assert!(!names_token(path), "{path}");
    }
}
