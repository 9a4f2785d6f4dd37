//! The part of the metrics page that is about cells.

use std::collections::BTreeMap;
use std::sync::Arc;

use cellway_core::Reason;
use cellway_core::health::Cause;
use cellway_core::registry::Registry;

use super::cells::{BUCKETS_US, CHECK_RESULTS, CellCounts, Histogram, Names, OTHER, RETRY_RESULTS};
use super::counter::answers;
use super::load::CellLoad;
use super::render::{Page, seconds, sum};
use super::shard::Shard;
use crate::observe::event::{HedgeEnd, Unserved};

impl Page {
    pub(super) fn cells(&mut self, shards: &[Arc<Shard>]) {
        let mut cells: BTreeMap<String, Vec<Arc<CellCounts>>> = BTreeMap::new();
        for (id, counts) in shards.iter().flat_map(|shard| shard.cells.all()) {
            cells.entry(id).or_default().push(counts);
        }
        self.times(&cells);
        self.answers(&cells);
        let name = "cell_connections_total";
        self.head(name, "counter", "Connections made to cells.");
        for (id, counts) in &cells {
            let count = sum(counts, |counts| counts.connected.get());
            self.sample(name, &[("cell", id.as_str())], count);
        }
        let name = "cell_failures_total";
        self.head(
            name,
            "counter",
            "Failures of connections to cells, by reason.",
        );
        for (id, counts) in &cells {
            for (r, reason) in Reason::ALL.iter().enumerate() {
                let count = sum(counts, |counts| counts.failed.get(r));
                if count > 0 {
                    let labels = [("cell", id.as_str()), ("reason", reason.as_str())];
                    self.sample(name, &labels, count);
                }
            }
        }
        self.retries(&cells);
        self.hedges(&cells);
        self.checks(&cells);
        let name = "circuits_opened_total";
        let help = "How often a circuit breaker of an endpoint opened, by cell.";
        self.head(name, "counter", help);
        for (id, counts) in &cells {
            let count = sum(counts, |counts| counts.circuits_opened.get());
            self.sample(name, &[("cell", id.as_str())], count);
        }
        let name = "endpoint_ejections_total";
        self.head(name, "counter", "Endpoint ejections, by cell and cause.");
        for (id, counts) in &cells {
            for (c, cause) in Cause::ALL.iter().enumerate() {
                let count = sum(counts, |counts| counts.ejected.get(c));
                let labels = [("cell", id.as_str()), ("cause", cause.as_str())];
                self.sample(name, &labels, count);
            }
        }
    }

    fn checks(&mut self, cells: &BTreeMap<String, Vec<Arc<CellCounts>>>) {
        let name = "endpoint_checks_total";
        self.head(
            name,
            "counter",
            "Health checks of endpoints, by cell and result.",
        );
        for (id, counts) in cells {
            for (r, result) in CHECK_RESULTS.iter().enumerate() {
                let count = sum(counts, |counts| counts.checks.get(r));
                if count > 0 {
                    let labels = [("cell", id.as_str()), ("result", *result)];
                    self.sample(name, &labels, count);
                }
            }
        }
    }

    fn answers(&mut self, cells: &BTreeMap<String, Vec<Arc<CellCounts>>>) {
        let name = "cell_responses_total";
        let help = "Answers to requests that were allowed, by cell, owner and status.";
        self.head(name, "counter", help);
        for (id, counts) in cells {
            for (at, owner, class) in answers() {
                let count = sum(counts, |counts| counts.answers.get(at));
                if count > 0 {
                    let labels = [
                        ("cell", id.as_str()),
                        ("owner", owner.as_str()),
                        ("status", class),
                    ];
                    self.sample(name, &labels, count);
                }
            }
        }
    }

    fn retries(&mut self, cells: &BTreeMap<String, Vec<Arc<CellCounts>>>) {
        let name = "cell_retries_total";
        let help = "Requests that a cell hasn't served and that may be sent again, by reason and whether they were.";
        self.head(name, "counter", help);
        for (id, counts) in cells {
            for (r, result) in RETRY_RESULTS.iter().enumerate() {
                for (w, why) in Unserved::ALL.iter().enumerate() {
                    let at = r * Unserved::ALL.len() + w;
                    let count = sum(counts, |counts| counts.retries.get(at));
                    if count > 0 {
                        let labels = [
                            ("cell", id.as_str()),
                            ("reason", why.as_str()),
                            ("result", *result),
                        ];
                        self.sample(name, &labels, count);
                    }
                }
            }
        }
    }

    fn hedges(&mut self, cells: &BTreeMap<String, Vec<Arc<CellCounts>>>) {
        let name = "cell_hedges_total";
        let help = "Requests whose first attempt took longer than hedge_after_ms, by what became of the second one.";
        self.head(name, "counter", help);
        for (id, counts) in cells {
            for (e, end) in HedgeEnd::ALL.iter().enumerate() {
                let count = sum(counts, |counts| counts.hedges.get(e));
                if count > 0 {
                    let labels = [("cell", id.as_str()), ("result", end.as_str())];
                    self.sample(name, &labels, count);
                }
            }
        }
    }

    /// Gauges of the pools. Cells without counters of their own are added up. Requests may still be at
    /// a cell that the registry no longer has; it must not take the place of another.
    pub(super) fn loads(&mut self, names: &Names, registry: Option<&Registry>, loads: &[CellLoad]) {
        let (known, further): (Vec<_>, Vec<_>) = loads.iter().partition(|load| {
            let is_there = registry.is_some_and(|it| it.cell(load.cell.as_str()).is_some());
            match is_there {
                true => names.admit(&load.cell),
                false => names.has(&load.cell),
            }
        });
        type Level = fn(&CellLoad) -> usize;
        let gauges: [(&str, &str, Level); 5] = [
            ("cell_requests", "Requests in flight to a cell.", |load| {
                load.requests
            }),
            (
                "cell_requests_waiting",
                "Requests that wait for a place at a cell.",
                |load| load.waiting,
            ),
            ("cell_connections", "Connections to a cell.", |load| {
                load.connections
            }),
            (
                "cell_retries_in_flight",
                "Requests that were sent to a cell again and have no answer yet, and hedges.",
                |load| load.retries,
            ),
            (
                "circuits_open",
                "Endpoints of a cell whose circuit breaker is open or half-open.",
                |load| load.circuits_open,
            ),
        ];
        for (name, help, level) in gauges {
            self.head(name, "gauge", help);
            for load in &known {
                self.sample(name, &[("cell", load.cell.as_str())], level(load));
            }
            if !further.is_empty() {
                let sum: usize = further.iter().map(|load| level(load)).sum();
                self.sample(name, &[("cell", OTHER)], sum);
            }
        }
        self.limits(&known);
    }

    /// The adaptive limits of cells that have one. Those of cells without counters of their own can't
    /// be added up.
    fn limits(&mut self, known: &[&CellLoad]) {
        let name = "cell_requests_limit";
        let help = "The adaptive limit on requests of a cell that wait for their answers.";
        self.head(name, "gauge", help);
        for load in known {
            if let Some(limit) = load.limit {
                self.sample(name, &[("cell", load.cell.as_str())], limit);
            }
        }
    }

    /// The sum of these histograms, with these labels.
    pub(super) fn histogram<'h>(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        histograms: impl Iterator<Item = &'h Histogram>,
    ) {
        let mut buckets = [0; BUCKETS_US.len() + 1];
        let mut sum_us = 0;
        for histogram in histograms {
            let (more, sum) = histogram.read();
            sum_us += sum;
            for (bucket, more) in buckets.iter_mut().zip(more) {
                *bucket += more;
            }
        }
        let mut cumulative = 0;
        for (i, count) in buckets.into_iter().enumerate() {
            cumulative += count;
            let le = match BUCKETS_US.get(i) {
                Some(bound) => seconds(*bound),
                None => "+Inf".to_owned(),
            };
            let labels = [labels, &[("le", le.as_str())]].concat();
            self.sample(&format!("{name}_bucket"), &labels, cumulative);
        }
        self.sample(&format!("{name}_sum"), labels, seconds(sum_us));
        self.sample(&format!("{name}_count"), labels, cumulative);
    }

    /// The histograms of cells. Those of waits that never happened are left out.
    fn times(&mut self, cells: &BTreeMap<String, Vec<Arc<CellCounts>>>) {
        type Of = fn(&CellCounts) -> &Histogram;
        let all: [(&str, &str, bool, Of); 3] = [
            (
                "cell_latency_seconds",
                "Time from a request's header to the header of the cell's answer.",
                true,
                |counts| &counts.latency,
            ),
            (
                "cell_connect_seconds",
                "Time to make a connection to a cell.",
                false,
                |counts| &counts.connecting,
            ),
            (
                "cell_queue_seconds",
                "Time that requests waited for a place at a cell, of those that had to wait.",
                false,
                |counts| &counts.queued,
            ),
        ];
        for (name, help, always, of) in all {
            self.head(name, "histogram", help);
            for (id, counts) in cells {
                let all = || counts.iter().map(|counts| of(counts));
                if always || all().any(|histogram| histogram.has_any()) {
                    self.histogram(name, &[("cell", id.as_str())], all());
                }
            }
        }
    }
}
