use super::names::Names;

/// Names stay as they are if they can: tenants are spread over cells by them.
#[test]
fn names() {
    let mut names = Names::default();
    let given = [
        ("cell", "eu-1"),
        ("cell", "EU 1"),
        ("cell", "eu"),
        ("tenant", "eu-1"),
        ("tenant", "router-1"),
        ("tenant", "日本"),
        ("cell", "eu-1"),
    ]
    .map(|(what, name)| names.of(what, name));
    assert_eq!(
        given,
        [
            "eu-1",
            "cell-eu-1",
            // The first host of a cell `cell-eu` would be called like the cell above.
            "cell-eu-2",
            "tenant-eu-1",
            "tenant-router-1",
            "tenant",
            "eu-1"
        ]
    );
}
