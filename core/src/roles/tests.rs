use super::*;
use crate::explain::Steps;

fn texts(roles: &[&str]) -> Vec<Text> {
    roles.iter().map(|role| Text::new(role).unwrap()).collect()
}

#[test]
fn explain_says_what_was_cut() {
    for (claimed, allowed, said) in [
        (&[][..], &[][..], "none"),
        (
            &["viewer"],
            &[],
            "none (cut: viewer; the tenant has no allowed_roles)",
        ),
        (&["viewer"], &["editor"], "none (cut: viewer)"),
        (&["viewer", "editor"], &["editor"], "editor (cut: viewer)"),
        (
            &["viewer", "editor"],
            &["editor", "viewer"],
            "viewer, editor",
        ),
    ] {
        let identity = Identity {
            roles: texts(claimed),
            names_roles: true,
            ..Identity::default()
        };
        let terms = Terms {
            allowed_roles: texts(allowed),
            ..Terms::default()
        };
        let mut steps = Steps(Vec::new());
        grant(&mut Arc::new(identity), &terms, &mut steps);
        assert_eq!(steps.0[0].detail, said, "{claimed:?} {allowed:?}");
    }
}
