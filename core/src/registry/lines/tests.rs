use super::*;

#[test]
fn the_path_is_read_from_the_start_of_a_mistake() {
    use Step::{Index, Key};
    for (mistake, path) in [
        (
            "cells[1].id is empty",
            &[Key("cells"), Index(1), Key("id")][..],
        ),
        (
            "placements[1] \"many\".cells[2]: unknown cell \"x\"",
            &[Key("placements"), Index(1), Key("cells"), Index(2)],
        ),
        (
            "tenants[1] \"a\": cell \"x\" is retired",
            &[Key("tenants"), Index(1)],
        ),
        (
            "unknown_tenant.placement: unknown",
            &[Key("unknown_tenant"), Key("placement")],
        ),
        ("`version` is missing", &[]),
        ("", &[]),
    ] {
        assert_eq!(steps(mistake), path, "{mistake}");
    }
}
