//! Nothing that a client wrote into an identity header reaches a cell.

use std::time::Duration;

use super::Invariant;
use crate::fact::Fact;

/// What every forged header of the simulator's clients has in its value.
pub const FORGED: &str = "forged-by-client";

/// No header or trailer with a value of a client's making arrives at a cell, and none whose name
/// a cell could read as one of the router's unless it is spelled as the router spells it.
#[derive(Debug)]
pub struct NoForgedHeaders {
    prefix: String,
}

impl NoForgedHeaders {
    /// With this prefix of the router's own headers.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    fn judge(
        &self,
        cell: &str,
        tag: Option<&String>,
        fields: &[(String, String)],
    ) -> Result<(), String> {
        for (name, value) in fields {
            if value.contains(FORGED) {
                return Err(format!("{cell} received {name}: {value} of {tag:?}"));
            }
            let similar: String = name
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                .collect();
            if similar.starts_with(&self.prefix) && *name != similar {
                return Err(format!(
                    "{cell} received {name}, which reads like {similar}"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for NoForgedHeaders {
    fn name(&self) -> &'static str {
        "no_forged_headers"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Arrived(arrived) => {
                self.judge(&arrived.cell, arrived.tag.as_ref(), &arrived.headers)
            }
            Fact::Trailers {
                cell,
                tag,
                trailers,
            } => self.judge(cell, tag.as_ref(), trailers),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn fed(fact: Fact) -> Result<(), String> {
        feed(&mut NoForgedHeaders::new("x-cellway-"), &[fact])
    }

    #[test]
    fn content_with_the_routers_own() {
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
        let (cell, tag) = ("a".to_owned(), None);
        assert!(
            fed(Fact::Trailers {
                cell,
                tag,
                trailers
            })
            .is_err()
        );
    }
}
