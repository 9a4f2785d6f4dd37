//! A router serves with the certificate that was put on its disk.

use std::collections::BTreeMap;
use std::time::Duration;

use super::in_force::{self, InForce};
use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::Fact;

/// A new connection to a router shows the certificate that was written to the router's disk last. The
/// certificate before it is accepted for as long as a reload may take.
#[derive(Debug)]
pub struct ServingCertificate {
    settings: SettingsInForce,
    delivery_max: Duration,
    /// When which routers can't follow their files.
    stuck: Vec<(String, Duration, Duration)>,
    routers: BTreeMap<String, InForce<Vec<u8>>>,
}

impl ServingCertificate {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            stuck: bounds.reloads_stuck.clone(),
            routers: BTreeMap::new(),
        }
    }

    fn is_stuck(&self, router: &str, at: Duration) -> bool {
        let mut all = self.stuck.iter();
        all.any(|(name, from, until)| {
            let over = self.settings.read_by(router, *until) + self.delivery_max;
            name == router && (*from..=over).contains(&at)
        })
    }
}

impl Invariant for ServingCertificate {
    fn name(&self) -> &'static str {
        "serving_certificate"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::RouterCertificate { router, leaf } => {
                let until = self.settings.read_by(router, at) + self.delivery_max;
                in_force::configured(&mut self.routers, router, leaf.clone(), until);
            }
            Fact::Connected { client, to, leaf } if !self.is_stuck(to, at) => {
                let known = self.routers.get(to);
                if known.is_some_and(|known| !known.at(at).any(|good| good == leaf)) {
                    return Err(format!(
                        "{client} got a new connection to {to}, which shows another certificate than the \
                         one on its disk"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
