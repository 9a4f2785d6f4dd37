//! Cells get the true address of each client.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::Invariant;
use crate::fact::{Arrived, Fact};

/// `X-Forwarded-For` and `Forwarded` (RFC 7239) contain only the address of the client that sent
/// the request: not a balancer's, and not one that a client claims. Requests that an Envoy forwards
/// have the Envoy's own fields.
#[derive(Debug, Default)]
pub struct TrueClient {
    /// The clients' addresses, by tag, of requests to routers.
    addresses: BTreeMap<String, Ipv4Addr>,
}

impl Invariant for TrueClient {
    fn name(&self) -> &'static str {
        "true_client"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent) if sent.via.is_none() => {
                self.addresses.insert(sent.tag.clone(), sent.address);
            }
            Fact::Arrived(arrived) => {
                let tag = arrived.tag.as_ref();
                let address = tag.and_then(|tag| self.addresses.get(tag));
                if let Some(address) = address {
                    return told(arrived, *address);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn told(arrived: &Arrived, address: Ipv4Addr) -> Result<(), String> {
    let all = |name: &str| {
        let fields = arrived.headers.iter().filter(|(n, _)| n == name);
        let values: Vec<_> = fields.map(|(_, value)| value.as_str()).collect();
        values.join(", ")
    };
    let (listed, forwarded) = (all("x-forwarded-for"), all("forwarded"));
    let node = forwarded.strip_prefix("for=").unwrap_or_default();
    let node = node.split_once(';').map_or(node, |(node, _)| node);
    let named = [listed.parse(), node.parse()];
    if named != [Ok(address), Ok(address)] || forwarded.contains(',') {
        let (cell, tag) = (&arrived.cell, arrived.tag.as_deref().unwrap_or_default());
        return Err(format!(
            "{cell} received {tag} with X-Forwarded-For `{listed}` and Forwarded `{forwarded}`; its \
             client's address is {address}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
