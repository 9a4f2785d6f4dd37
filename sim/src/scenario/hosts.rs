//! The hosts of a scenario's world, and what each of them is.

use serde::{Deserialize, Serialize};

use super::{CONTROL_PLANE, Scenario};

/// A host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Host {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// What it belongs to: an endpoint's cell, or the entry of a client in the scenario.
    pub of: String,
}

/// What a host is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// It serves the registry.
    ControlPlane,
    /// It issues tokens.
    Provider,
    /// A router.
    Router,
    /// A proxy or load balancer in front of routers.
    Proxy,
    /// An endpoint of a cell.
    Endpoint,
    /// A client.
    Client,
}

impl Scenario {
    /// All hosts, by what they are.
    pub fn hosts(&self) -> Vec<Host> {
        let host = |name: String, role, of: &str| Host {
            name,
            role,
            of: of.to_owned(),
        };
        let mut hosts = vec![host(CONTROL_PLANE.to_owned(), Role::ControlPlane, "")];
        let issuers = self.issuers.iter();
        hosts.extend(issuers.map(|issuer| host(issuer.host(), Role::Provider, &issuer.name)));
        let balancers = self.balancers.iter().map(|it| (&it.name, &it.router));
        let proxies = self.envoys.iter().map(|it| (&it.name, &it.router));
        let proxies = balancers.chain(proxies);
        hosts.extend(proxies.map(|(name, of)| host(name.clone(), Role::Proxy, of)));
        let routers = self.routers.iter();
        hosts.extend(routers.map(|name| host(name.clone(), Role::Router, "")));
        for cell in &self.cells {
            hosts.extend(
                cell.hosts()
                    .map(|name| host(name, Role::Endpoint, &cell.id)),
            );
        }
        let clients = self.clients.iter();
        hosts.extend(clients.map(|it| host(it.name.clone(), Role::Client, &it.entry)));
        hosts
    }
}
