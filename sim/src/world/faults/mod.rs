//! Applies the faults of a scenario's timeline.

mod cells;

use std::time::Duration;

use cellway_testbed::{
    CellFault, ControlPlaneFault, IdentityProvider, IdpFault, TestbedError, Validity,
};
use http::StatusCode;

use super::state::unix_at;
use super::{World, config, hosts, keys, router};
use crate::engine::NameTrouble;
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

/// What any service can do wrong.
#[derive(Clone, Copy)]
enum ServiceFault {
    Slow(Duration),
    Status(u16),
    Garbage,
}

/// The beginnings and ends of all faults, in order.
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
    // A stable sort keeps the order of the file for faults of the same moment.
    due.sort_by_key(|due| due.at);
    due
}

impl World {
    /// Does what is due.
    ///
    /// # Errors
    /// A certificate or key of the testbed couldn't be made.
    pub(super) fn apply(&mut self, due: &Due) -> Result<(), TestbedError> {
        let (kind, begins) = (&due.fault.kind, due.phase == Phase::Begin);
        self.announce(kind, begins);
        let active = |fault| begins.then_some(fault);
        match kind {
            FaultKind::Crash(name) => self.crash(name, begins),
            FaultKind::Drain(name) => self.drain(name, begins),
            FaultKind::Partition([a, b]) => self.partition(a, b, begins),
            FaultKind::OneWayPartition([from, to]) => self.one_way(from, to, begins),
            FaultKind::Stalls([a, b], later) => self.stalls(a, b, begins.then_some(*later)),
            FaultKind::Latency([a, b], delay) => self.latency(a, b, begins.then_some(*delay)),
            FaultKind::Slow(name, delay) => self.fail(name, active(ServiceFault::Slow(*delay))),
            FaultKind::Status(name, code) => self.fail(name, active(ServiceFault::Status(*code))),
            FaultKind::Garbage(name) => self.fail(name, active(ServiceFault::Garbage)),
            FaultKind::Busy(name, _)
            | FaultKind::Unavailable(name, _)
            | FaultKind::GrpcStatus(name, _)
            | FaultKind::LateGrpcStatus(name, _)
            | FaultKind::NotServing(name)
            | FaultKind::EarlyHints(name, _)
            | FaultKind::HalfOpen(name)
            | FaultKind::Hang(name)
            | FaultKind::Deaf(name)
            | FaultKind::AnswerEarly(name)
            | FaultKind::AnswerUnread(name)
            | FaultKind::Reset(name)
            | FaultKind::Flap(name)
            | FaultKind::BreakOff(name)
            | FaultKind::RefuseStreams(name)
            | FaultKind::GoAway(name) => self.fail_cell(name, begins, cells::fault(kind)),
            FaultKind::FewStreams(to, streams) => self.allow(to, begins.then_some(*streams)),
            FaultKind::RefuseConnections(name) => self.open_doors(name, !begins),
            FaultKind::EmptyKeys(host) => self.fail_provider(host, begins, IdpFault::EmptySet),
            FaultKind::HugeKeys(host) => self.fail_provider(host, begins, IdpFault::Oversized),
            FaultKind::WrongIssuer(host) => self.fail_provider(host, begins, IdpFault::WrongIssuer),
            FaultKind::WrongKeys(host, of) => self.swap_keys(host, begins.then_some(of)),
            FaultKind::PublishKey(host, kid) => self.publish_key(host, kid)?,
            FaultKind::SignWith(host, kid) => self.sign_with(host, kid),
            FaultKind::WithdrawKey(host, kid) => self.provider(host).withdraw(kid),
            FaultKind::ReplaceKeys(host, kid) => self.replace_keys(host, kid)?,
            FaultKind::Publish(change) => self.publish(change),
            FaultKind::RotateCertificate(name) => self.certify(name, None)?,
            FaultKind::ExpiringCertificate(name, lifetime) => {
                self.certify(name, Some(*lifetime))?
            }
            FaultKind::WrongCertificate(name, of) => {
                self.impersonate(name, begins.then_some(of))?
            }
            FaultKind::BreakCertificate(name) => self.break_certificate(name, begins)?,
            FaultKind::Configure(name, _) | FaultKind::ReplaceConfiguration(name, _) => {
                self.configure(name, kind);
            }
            FaultKind::BreakConfiguration(name) => self.write_configuration(name, begins),
            FaultKind::TrustNext(authority) => self.trust_next(*authority)?,
            FaultKind::IssueFromNext(authority) => self.issue_from_next(*authority)?,
            FaultKind::DropOld(authority) => self.drop_old(*authority)?,
            FaultKind::AddEnvelopeKey(kid, after) => self.add_envelope_key(kid, *after)?,
            FaultKind::RemoveEnvelopeKey(kid) => self.remove_envelope_key(kid)?,
            FaultKind::ClockSkew(name, skew) => self.set_skew(name, if begins { *skew } else { 0 }),
            FaultKind::ClockDrift(name, drift) => self.drift(name, if begins { *drift } else { 0 }),
            FaultKind::SlowDns(name, delay) => {
                self.name(name, begins.then_some(NameTrouble::Late(*delay)))
            }
            FaultKind::NoDns(name) => self.name(name, begins.then_some(NameTrouble::Unknown)),
            FaultKind::LaggingReplica(_) => self.handle.lock().control_plane.set_lagging(begins),
            FaultKind::SlowDisk(name, delay) => {
                self.disks[name].set_delay(if begins { *delay } else { Duration::ZERO });
            }
            FaultKind::DamagedFiles(name) => self.damage_files(name),
            FaultKind::DiskFull(name) => self.fill_disk(name, begins),
            FaultKind::TornWrite(name) => self.tear_next_write(name),
        }
        Ok(())
    }

    /// Tells the invariants and the timeline that a fault begins or ends.
    fn announce(&self, kind: &FaultKind, begins: bool) {
        let text = kind.to_string();
        self.tell(&match begins {
            true => Fact::FaultBegins(text),
            false => Fact::FaultEnds(text),
        });
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

    /// Only scenarios of the engine that can do it have this fault.
    fn one_way(&mut self, from: &str, to: &str, begins: bool) {
        for (from, to) in self.pairs(from, to) {
            let held = match begins {
                true => self.engine.hold_one_way(&from, &to),
                false => self.engine.release_one_way(&from, &to),
            };
            held.expect("the scenario was checked");
        }
    }

    /// As [`one_way`](Self::one_way).
    fn stalls(&mut self, a: &str, b: &str, later: Option<Duration>) {
        for (a, b) in self.pairs(a, b) {
            let set = self.engine.set_stalls(&a, &b, later);
            set.expect("the scenario was checked");
        }
    }

    fn name(&mut self, target: &str, trouble: Option<NameTrouble>) {
        for host in self.scenario.hosts_of(target) {
            self.engine.set_name(&host, trouble);
        }
    }

    fn drift(&self, name: &str, millis: i64) {
        for host in self.scenario.hosts_of(name) {
            if let Some(clock) = self.engine.clock(&host) {
                clock.set_drift_millis(millis, self.engine.elapsed());
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

    /// Makes a cell, identity provider or the control plane fail; `None`: it works again.
    fn fail(&self, name: &str, fault: Option<ServiceFault>) {
        let status = |code| StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        if name == CONTROL_PLANE {
            let fault = match fault {
                None => ControlPlaneFault::None,
                Some(ServiceFault::Slow(delay)) => ControlPlaneFault::Slow(delay),
                Some(ServiceFault::Status(code)) => ControlPlaneFault::Status(status(code)),
                Some(ServiceFault::Garbage) => ControlPlaneFault::Truncated,
            };
            self.handle.lock().control_plane.set_fault(fault);
        } else if self.handle.lock().identity_providers.contains_key(name) {
            let fault = match fault {
                None => IdpFault::None,
                Some(ServiceFault::Slow(delay)) => IdpFault::Slow(delay),
                Some(ServiceFault::Status(code)) => IdpFault::Status(status(code)),
                Some(ServiceFault::Garbage) => IdpFault::Garbage,
            };
            self.provider(name).set_fault(fault);
        } else {
            let fault = match fault {
                None => CellFault::None,
                Some(ServiceFault::Garbage) => CellFault::Garbage,
                Some(ServiceFault::Slow(delay)) => CellFault::Slow(delay),
                Some(ServiceFault::Status(code)) => CellFault::Status(status(code)),
            };
            self.fail_cell(name, true, fault);
        }
    }

    fn fail_provider(&self, host: &str, begins: bool, fault: IdpFault) {
        let fault = if begins { fault } else { IdpFault::None };
        self.provider(host).set_fault(fault);
    }

    fn provider(&self, host: &str) -> IdentityProvider {
        self.handle.lock().identity_providers[host].clone()
    }

    /// Lets an identity provider serve the key set of another, or its own again.
    fn swap_keys(&self, host: &str, other: Option<&String>) {
        let keys = other.map(|other| self.provider(other).jwks());
        self.provider(host).set_foreign_keys(keys);
    }

    fn publish_key(&self, host: &str, kid: &str) -> Result<(), TestbedError> {
        let key = keys::provider(self.handle.seed(), host, kid)?;
        self.provider(host).publish(key);
        Ok(())
    }

    fn replace_keys(&self, host: &str, kid: &str) -> Result<(), TestbedError> {
        let key = keys::provider(self.handle.seed(), host, kid)?;
        self.provider(host).replace_keys(key);
        Ok(())
    }

    fn sign_with(&self, host: &str, kid: &str) {
        let known = self.provider(host).sign_with(kid);
        assert!(
            known,
            "{host} can't sign with {kid}, which it hasn't published"
        );
    }

    fn publish(&mut self, change: &Change) {
        let document = self.handle.lock().documents.change(change);
        if let Some(published) = &document.truth {
            self.tell(published);
        }
        self.handle.lock().control_plane.set_document(document.text);
    }

    /// Gives a router a serving certificate with this validity, or for the whole run.
    pub(super) fn write_serving(
        &self,
        name: &str,
        validity: Option<Validity>,
    ) -> Result<(), TestbedError> {
        let pki = &mut self.handle.lock().pki;
        let leaf = router::write_serving(&self.disks[name], pki, name, validity)?;
        self.tell(&Fact::RouterCertificate {
            router: name.to_owned(),
            leaf,
        });
        Ok(())
    }

    /// Lets a cell serve with the certificate of another cell, or with its own again.
    fn impersonate(&self, name: &str, other: Option<&String>) -> Result<(), TestbedError> {
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
                impersonates: other.cloned(),
                expires: None,
                restarted: false,
            });
        }
        Ok(())
    }

    /// Gives a router or a cell a serving certificate that is valid for this long, or for the whole
    /// run. Open connections of a cell's hosts continue with the old one.
    fn certify(&self, name: &str, lifetime: Option<Duration>) -> Result<(), TestbedError> {
        let now = unix_at(self.engine.elapsed());
        let validity = lifetime.map(|lifetime| Validity::around(now, lifetime));
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
            let expires = validity.map(hosts::certificate_expires);
            self.tell(&Fact::CellCertificate {
                host,
                impersonates: None,
                expires,
                restarted: false,
            });
        }
        Ok(())
    }

    /// Overwrites a router's serving certificate with nonsense, or gives it a good one again.
    fn break_certificate(&self, name: &str, begins: bool) -> Result<(), TestbedError> {
        if !begins {
            return self.write_serving(name, None);
        }
        self.disks[name].put("server.pem", "not a certificate");
        Ok(())
    }

    /// Changes the settings that the router has.
    fn configure(&mut self, name: &str, kind: &FaultKind) {
        let present = self.settings.entry(name.to_owned()).or_default();
        config::change(present, name, kind);
        self.list_balancers();
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

    fn trust_next(&self, authority: Authority) -> Result<(), TestbedError> {
        self.handle.lock().pki.trust_next(authority)?;
        self.distribute_trust(authority)
    }

    fn issue_from_next(&self, authority: Authority) -> Result<(), TestbedError> {
        self.handle.lock().pki.issue_from_next(authority);
        if authority == Authority::Cells {
            for (name, disk) in &self.disks {
                router::write_upstream(disk, &mut self.handle.lock().pki, name)?;
            }
        }
        self.distribute_trust(authority)?;
        if authority == Authority::Servers {
            for name in self.disks.keys() {
                self.write_serving(name, None)?;
            }
        }
        Ok(())
    }

    fn drop_old(&self, authority: Authority) -> Result<(), TestbedError> {
        self.handle.lock().pki.drop_old(authority);
        self.distribute_trust(authority)
    }

    /// Writes the trusted CAs to the routers' disks, and gives running hosts of the testbed new
    /// certificates and trust.
    fn distribute_trust(&self, changed: Authority) -> Result<(), TestbedError> {
        {
            let mut state = self.handle.lock();
            for disk in self.disks.values() {
                router::write_trust(disk, &state.pki);
            }
            state.renew_serving()?;
        }
        match changed {
            Authority::Cells => self.tell(&Fact::CellTrustChanged),
            Authority::Clients => {
                let [_, trusted_from] = self.handle.lock().pki.place(changed);
                self.tell(&Fact::ClientTrustChanged(trusted_from));
            }
            Authority::Servers => {}
        }
        Ok(())
    }

    fn add_envelope_key(&mut self, kid: &str, signs_after: Duration) -> Result<(), TestbedError> {
        let now = unix_at(self.engine.elapsed());
        self.envelope_keys.add(kid, now, signs_after);
        self.write_envelope_keys()
    }

    fn remove_envelope_key(&mut self, kid: &str) -> Result<(), TestbedError> {
        self.envelope_keys.remove(kid);
        self.write_envelope_keys()
    }

    /// Writes the folder of envelope keys to every router's disk.
    pub(super) fn write_envelope_keys(&self) -> Result<(), TestbedError> {
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

    fn fill_disk(&self, name: &str, full: bool) {
        self.disks[name].set_full(full);
        self.tell(&Fact::StateDamaged(name.to_owned()));
    }

    fn damage_files(&self, name: &str) {
        self.disks[name].damage(config::STATE_FOLDER);
        self.tell(&Fact::StateDamaged(name.to_owned()));
    }

    fn tear_next_write(&self, name: &str) {
        self.disks[name].tear_next_write();
        self.tell(&Fact::StateDamaged(name.to_owned()));
    }
}
