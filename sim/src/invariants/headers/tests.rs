use super::super::testing::*;
use super::*;

fn fed(fact: Fact) -> Result<(), String> {
    feed(&mut NoForgedHeaders::new("x-cellway-"), &[fact])
}

#[test]
fn accepts_with_the_routers_own() {
    assert_eq!(fed(arrived("a", "t", "r")), Ok(()));
}

#[test]
fn notices_a_forged_value_under_any_name() {
    let value = format!("admin {FORGED}");
    for name in ["x-cellway-tenant", "x-other"] {
        assert!(fed(with_header(arrived("a", "t", "r"), name, &value)).is_err());
    }
}

#[test]
fn notices_a_near_miss_of_a_name() {
    for name in ["x_cellway_tenant", "x-cellway.tenant"] {
        assert!(fed(with_header(arrived("a", "t", "r"), name, "acme")).is_err());
    }
}

#[test]
fn notices_trailers() {
    let trailers = vec![("x-cellway-roles".to_owned(), FORGED.to_owned())];
    assert!(fed(body_ended("t", |ended| ended.trailers = trailers)).is_err());
}

#[test]
fn notices_a_token_that_is_passed_on() {
    let bearing = |name| with_header(arrived("a", "t", "r"), name, "Bearer abc");
    assert!(feed(&mut CredentialsStay, &[bearing("authorization")]).is_err());
    assert!(feed(&mut CredentialsStay, &[bearing("x-other")]).is_err());
    assert_eq!(
        feed(&mut CredentialsStay, &[arrived("a", "t", "r")]),
        Ok(())
    );
}

#[test]
fn notices_what_a_cell_says_in_the_routers_name() {
    let tainted = Fact::AnswerForged {
        tag: "t".to_owned(),
        header: "x-cellway-made-up".to_owned(),
    };
    assert!(feed(&mut NoForgedHeaders::new("x-cellway-"), &[tainted]).is_err());
}
