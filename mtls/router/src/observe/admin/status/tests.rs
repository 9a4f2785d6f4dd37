use super::*;

/// Catches: a text that ends an element or an attribute.
#[test]
fn texts_are_escaped() {
    let mut html = Html::default();
    html.markup("<b title=\"")
        .text("\"><script>'&")
        .markup("\">");
    assert_eq!(
        html.finish(),
        "<b title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\">"
    );
    assert_eq!(html::in_query("a b&c=\"%"), "a%20b%26c%3D%22%25");
}

/// Catches: a policy that lets the page load or run something.
#[test]
fn the_policy_allows_the_style_only() {
    let policy = content_security_policy();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && !policy.contains("script"),
        "{policy}"
    );
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
}

#[test]
fn times_have_one_unit() {
    let shown = [0, 119, 120, 7_199, 7_200, 172_800].map(span);
    assert_eq!(shown, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
}
