//! Applies the faults of a scenario's timeline.

use std::time::Duration;

use cellway_testbed::{CellFault, ControlPlaneFault, IdpFault, LabError, Validity};
use http::StatusCode;

use super::state::unix_at;
use super::{World, config, hosts, keys, router};
use crate::fact::{Configured, Fact};
use crate::scenario::{Authority, CONTROL_PLANE, Change, Fault, FaultKind};

/// A fault's beginning or end, and when it is due.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) at: Duration,
    fault: Fault,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Begin,
    End,
}

/// What a service does wrong, whatever kind of service it is.
#[derive(Clone, Copy)]
enum ServiceFault {
    None,
    Slow(Duration),
    Status(u16),
    Garbage,
}

/// Everything that is due in a run, in order.
pub(super) fn timeline(faults: &[Fault]) -> Vec<Due> {
    let mut due = Vec::new();
    for fault in faults {
        let mut add = |at, phase| {
            let fault = fault.clone();
            due.push(Due { at, fault, phase });
        };
        add(fault.at, Phase::Begin);
        if fault.until > fault.at {
            add(fault.until, Phase::End);
        }
    }
    // Stable, so that what ends and what begins at one moment keep the order of the file.
    due.sort_by_key(|due| due.at);
    due
}

impl World {
    /// Does what is due.
    ///
    /// # Errors
    /// A certificate or key of the lab couldn't be made.
    pub(super) fn apply(&mut self, due: &Due) -> Result<(), LabError> {
        let text = due.fault.kind.to_string();
        let begins = due.phase == Phase::Begin;
        let fact = match begins {
            true => Fact::FaultBegins(text),
            false => Fact::FaultEnds(text),
        };
        self.tell(&fact);
        let fault = |fault| if begins { fault } else { ServiceFault::None };
        match &due.fault.kind {
            FaultKind::Crash(name) => self.crash(name, begins),
            FaultKind::Drain(name) => self.drain(name, begins),
            FaultKind::Partition([a, b]) => self.partition(a, b, begins),
            FaultKind::Latency([a, b], delay) => self.latency(a, b, begins.then_some(*delay)),
            FaultKind::Slow(name, delay) => {
                self.break_service(name, fault(ServiceFault::Slow(*delay)))
            }
            FaultKind::Status(name, code) => {
                self.break_service(name, fault(ServiceFault::Status(*code)))
            }
            FaultKind::Garbage(name) => self.break_service(name, fault(ServiceFault::Garbage)),
            FaultKind::HalfOpen(name) => self.break_cell(name, begins, CellFault::HalfOpen),
            FaultKind::Reset(name) => self.break_cell(name, begins, CellFault::ResetMidBody),
            FaultKind::BreakOff(name) => self.break_cell(name, begins, CellFault::BreakOff),
            FaultKind::RefuseStreams(name) => {
                self.break_cell(name, begins, CellFault::RefuseStreams);
            }
            FaultKind::GoAway(name) => self.break_cell(name, begins, CellFault::GoAway),
            FaultKind::RefuseConnections(name) => self.open_doors(name, !begins),
            FaultKind::EmptyKeys(host) => self.break_provider(host, begins, IdpFault::EmptySet),
            FaultKind::HugeKeys(host) => self.break_provider(host, begins, IdpFault::Oversized),
            FaultKind::WrongIssuer(host) => {
                self.break_provider(host, begins, IdpFault::WrongIssuer);
            }
            FaultKind::WrongKeys(host, other) => {
                let keys = begins.then(|| self.provider(other).jwks());
                self.provider(host).set_foreign_keys(keys);
            }
            FaultKind::PublishKey(..)
            | FaultKind::SignWith(..)
            | FaultKind::WithdrawKey(..)
            | FaultKind::ReplaceKeys(..) => self.rotate_keys(&due.fault.kind)?,
            FaultKind::Publish(change) => self.publish(change),
            FaultKind::RotateCertificate(name) => self.certify(name, None)?,
            FaultKind::ExpiringCertificate(name, lifetime) => {
                let now = unix_at(self.engine.elapsed());
                self.certify(name, Some(Validity::around(now, *lifetime)))?;
            }
            FaultKind::WrongCertificate(name, other) => {
                self.impersonate(name, begins.then_some(other))?;
            }
            FaultKind::BreakCertificate(name) if begins => self.break_certificate(name),
            FaultKind::BreakCertificate(name) => self.write_serving(name, None)?,
            FaultKind::Configure(name, settings) => self.configure(name, settings),
            FaultKind::BreakConfiguration(name) => self.write_configuration(name, begins),
            FaultKind::TrustNext(_) | FaultKind::IssueFromNext(_) | FaultKind::DropOld(_) => {
                self.rotate_authority(&due.fault.kind)?;
            }
            FaultKind::AddEnvelopeKey(..) | FaultKind::RemoveEnvelopeKey(_) => {
                self.rotate_envelope_keys(&due.fault.kind)?;
            }
            FaultKind::ClockSkew(name, millis) => {
                self.set_skew(name, if begins { *millis } else { 0 });
            }
            FaultKind::DiskFull(name) => {
                self.disks[name].set_full(begins);
                self.tell(&Fact::StateDamaged(name.clone()));
            }
            FaultKind::TornWrite(name) => {
                self.disks[name].tear_next_write();
                self.tell(&Fact::StateDamaged(name.clone()));
            }
        }
        Ok(())
    }

    fn tell(&self, fact: &Fact) {
        let observer = &self.handle.observer;
        observer.tell(self.engine.elapsed(), "world", fact);
    }

    fn crash(&mut self, name: &str, begins: bool) {
        for host in self.scenario.hosts_of(name) {
            if !begins {
                self.engine.restart(&host);
                continue;
            }
            self.engine.crash(&host);
            let life = self.handle.lock().lives.get(&host).cloned();
            if let Some(life) = life {
                self.tell(&Fact::Crashed(life));
            }
            let mut clients = self.scenario.clients.iter();
            if clients.any(|client| client.name == host) {
                self.tell(&Fact::ClientStopped(host));
            } else if self.handle.lock().cells.contains_key(&host) {
                self.tell(&Fact::EndpointStopped(host));
            }
        }
    }

    /// Stops a router like a process that gets SIGTERM, and starts it again later.
    fn drain(&mut self, name: &str, begins: bool) {
        match begins {
            true => {
                let asked = self.handle.lock().drains.get(name).cloned();
                if let Some(asked) = asked {
                    asked.notify_one();
                }
            }
            false => self.engine.restart(name),
        }
    }

    fn partition(&mut self, a: &str, b: &str, begins: bool) {
        for (a, b) in self.pairs(a, b) {
            match begins {
                true => self.engine.hold(&a, &b),
                false => self.engine.release(&a, &b),
            }
        }
    }

    fn latency(&mut self, a: &str, b: &str, delay: Option<Duration>) {
        let [min, max] = self.scenario.latency;
        for (a, b) in self.pairs(a, b) {
            match delay {
                Some(delay) => self.engine.set_latency(&a, &b, delay, delay),
                None => self.engine.set_latency(&a, &b, min, max),
            }
        }
    }

    fn pairs(&self, a: &str, b: &str) -> Vec<(String, String)> {
        let others = self.scenario.hosts_of(b);
        let pairs = self.scenario.hosts_of(a).into_iter();
        pairs
            .flat_map(|a| others.iter().map(move |b| (a.clone(), b.clone())))
            .filter(|(a, b)| a != b)
            .collect()
    }

    fn break_service(&self, name: &str, fault: ServiceFault) {
        let status = |code| StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        if name == CONTROL_PLANE {
            let fault = match fault {
                ServiceFault::None => ControlPlaneFault::None,
                ServiceFault::Slow(delay) => ControlPlaneFault::Slow(delay),
                ServiceFault::Status(code) => ControlPlaneFault::Status(status(code)),
                ServiceFault::Garbage => ControlPlaneFault::Truncated,
            };
            self.handle.lock().control_plane.set_fault(fault);
        } else if self.handle.lock().identity_providers.contains_key(name) {
            let fault = match fault {
                ServiceFault::None => IdpFault::None,
                ServiceFault::Slow(delay) => IdpFault::Slow(delay),
                ServiceFault::Status(code) => IdpFault::Status(status(code)),
                ServiceFault::Garbage => IdpFault::Garbage,
            };
            self.provider(name).set_fault(fault);
        } else {
            let (begins, fault) = match fault {
                ServiceFault::None | ServiceFault::Garbage => (false, CellFault::None),
                ServiceFault::Slow(delay) => (true, CellFault::Slow(delay)),
                ServiceFault::Status(code) => (true, CellFault::Status(status(code))),
            };
            self.break_cell(name, begins, fault);
        }
    }

    fn break_cell(&self, name: &str, begins: bool, fault: CellFault) {
        let state = self.handle.lock();
        for host in self.scenario.hosts_of(name) {
            let fault = if begins { fault } else { CellFault::None };
            state.cells[&host].echo.set_fault(fault);
        }
    }

    /// Sets whether a cell's hosts accept new connections.
    fn open_doors(&self, name: &str, open: bool) {
        let state = self.handle.lock();
        for host in self.scenario.hosts_of(name) {
            state.cells[&host].door.set(open);
        }
    }

    fn break_provider(&self, host: &str, begins: bool, fault: IdpFault) {
        let fault = if begins { fault } else { IdpFault::None };
        self.provider(host).set_fault(fault);
    }

    fn provider(&self, host: &str) -> cellway_testbed::IdentityProvider {
        self.handle.lock().identity_providers[host].clone()
    }

    fn rotate_keys(&self, kind: &FaultKind) -> Result<(), LabError> {
        match kind {
            FaultKind::PublishKey(host, kid) => {
                self.provider(host)
                    .publish(keys::provider(self.handle.seed(), host, kid)?);
            }
            FaultKind::ReplaceKeys(host, kid) => {
                self.provider(host)
                    .replace_keys(keys::provider(self.handle.seed(), host, kid)?);
            }
            FaultKind::SignWith(host, kid) => {
                let known = self.provider(host).sign_with(kid);
                assert!(
                    known,
                    "{host} can't sign with {kid}, which it hasn't published"
                );
            }
            FaultKind::WithdrawKey(host, kid) => self.provider(host).withdraw(kid),
            other => unreachable!("{other} is no rotation of keys"),
        }
        Ok(())
    }

    fn publish(&mut self, change: &Change) {
        let document = self.handle.lock().documents.change(change);
        if let Some(published) = &document.truth {
            self.tell(published);
        }
        self.handle.lock().control_plane.set_document(document.text);
    }

    /// Gives a router a serving certificate that holds so long, or for the whole run.
    pub(super) fn write_serving(
        &self,
        name: &str,
        validity: Option<Validity>,
    ) -> Result<(), LabError> {
        let pki = &mut self.handle.lock().pki;
        let leaf = router::write_serving(&self.disks[name], pki, name, validity)?;
        self.tell(&Fact::RouterCertificate {
            router: name.to_owned(),
            leaf,
        });
        Ok(())
    }

    /// Lets a cell serve with the certificate of another, or with its own again.
    fn impersonate(&self, name: &str, other: Option<&String>) -> Result<(), LabError> {
        {
            let mut state = self.handle.lock();
            match other {
                Some(other) => state.impostors.insert(name.to_owned(), other.clone()),
                None => state.impostors.remove(name),
            };
            state.renew_serving()?;
        }
        for host in self.scenario.hosts_of(name) {
            self.tell(&Fact::CellCertificate {
                host,
                of: other.cloned(),
                ends: None,
                anew: false,
            });
        }
        Ok(())
    }

    /// Gives a router or a cell a serving certificate with this validity, or for the whole run.
    /// Open connections of a cell's hosts continue with the old one.
    fn certify(&self, name: &str, validity: Option<Validity>) -> Result<(), LabError> {
        if self.disks.contains_key(name) {
            return self.write_serving(name, validity);
        }
        {
            let mut state = self.handle.lock();
            match validity {
                Some(validity) => state.expiring.insert(name.to_owned(), validity),
                None => state.expiring.remove(name),
            };
            state.renew_serving()?;
        }
        for host in self.scenario.hosts_of(name) {
            let ends = validity.map(hosts::certificate_ends);
            self.tell(&Fact::CellCertificate {
                host,
                of: None,
                ends,
                anew: false,
            });
        }
        Ok(())
    }

    fn break_certificate(&self, name: &str) {
        self.disks[name].put("server.pem", "not a certificate");
    }

    /// Puts these settings over those that the router has.
    fn configure(&mut self, name: &str, settings: &toml::Table) {
        let present = self.settings.entry(name.to_owned()).or_default();
        config::merge(present, settings);
        self.write_configuration(name, false);
    }

    /// Writes a router's configuration file: as it is meant, or nonsense.
    pub(super) fn write_configuration(&self, name: &str, broken: bool) {
        if broken {
            router::write_configuration(&self.disks[name], "not a configuration".to_owned());
            return;
        }
        let settings = &self.settings[name];
        let text = config::render(&self.scenario, settings);
        router::write_configuration(&self.disks[name], text);
        let configured = Configured {
            router: name.to_owned(),
            anonymous: config::anonymous_placement(settings),
            cell_bound: config::cell_bound(settings),
            signers: config::signers(settings),
            rules: config::rules(settings),
        };
        self.tell(&Fact::Configured(Box::new(configured)));
    }

    fn rotate_authority(&self, kind: &FaultKind) -> Result<(), LabError> {
        self.reissue(kind)?;
        match kind {
            FaultKind::IssueFromNext(Authority::Servers) => {
                let mut names = self.disks.keys();
                return names.try_for_each(|name| self.write_serving(name, None));
            }
            FaultKind::TrustNext(Authority::Cells)
            | FaultKind::IssueFromNext(Authority::Cells)
            | FaultKind::DropOld(Authority::Cells) => self.tell(&Fact::CellTrustChanged),
            _ => {}
        }
        Ok(())
    }

    fn reissue(&self, kind: &FaultKind) -> Result<(), LabError> {
        let mut state = self.handle.lock();
        match kind {
            FaultKind::TrustNext(authority) => state.pki.trust_next(*authority)?,
            FaultKind::DropOld(authority) => state.pki.drop_old(*authority),
            FaultKind::IssueFromNext(authority) => {
                state.pki.issue_from_next(*authority);
                for (name, disk) in &self.disks {
                    match authority {
                        Authority::Cells => {
                            router::write_upstream(disk, &mut state.pki, name)?;
                        }
                        // The serving certificates are told of, and so written elsewhere.
                        Authority::Servers | Authority::Clients => {}
                    }
                }
            }
            other => unreachable!("{other} is no rotation of an authority"),
        }
        for disk in self.disks.values() {
            router::write_trust(disk, &state.pki);
        }
        state.renew_serving()
    }

    fn rotate_envelope_keys(&mut self, kind: &FaultKind) -> Result<(), LabError> {
        let now = unix_at(self.engine.elapsed());
        match kind {
            FaultKind::AddEnvelopeKey(kid, after) => self.envelope_keys.add(kid, now, *after),
            FaultKind::RemoveEnvelopeKey(kid) => self.envelope_keys.remove(kid),
            other => unreachable!("{other} is no rotation of envelopes' keys"),
        }
        self.write_envelope_keys()
    }

    /// Puts the shared folder before every router.
    pub(super) fn write_envelope_keys(&self) -> Result<(), LabError> {
        let seed = self.handle.seed();
        let mut disks = self.disks.values();
        disks.try_for_each(|disk| self.envelope_keys.write(disk, seed))
    }

    fn set_skew(&self, name: &str, millis: i64) {
        for host in self.scenario.hosts_of(name) {
            if let Some(clock) = self.engine.clock(&host) {
                clock.set_skew_millis(millis);
            }
        }
    }
}
