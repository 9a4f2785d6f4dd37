//! What is counted for each cell, and for how many.

use super::*;

#[test]
fn answers_are_counted_for_the_cell_by_who_made_them() {
    let metrics = Metrics::new();
    let sink = metrics.sink();
    let cell = Text::new("a").unwrap();
    let answered = |status, owner| {
        emit(
            &sink,
            Responded {
                status,
                owner,
                cell: Some(&cell),
                ..responded()
            },
        );
    };
    for (status, owner, times) in [
        (Some(200), Owner::Cell, 3),
        (Some(503), Owner::Cell, 2),
        (Some(504), Owner::Router, 1),
        (None, Owner::Client, 4),
    ] {
        (0..times).for_each(|_| answered(status, owner));
    }
    let series = rendered(&metrics);
    let name = "cellway_cell_responses_total";
    let counted: Vec<_> = series
        .iter()
        .filter(|(it, _)| it.starts_with(name))
        .collect();
    let labels =
        |owner, status| format!("{name}{{cell=\"a\",owner=\"{owner}\",status=\"{status}\"}}");
    assert_eq!(
        counted,
        [
            (&labels("cell", "2xx"), &3.0),
            (&labels("cell", "5xx"), &2.0),
            (&labels("client", "none"), &4.0),
            (&labels("router", "5xx"), &1.0),
        ]
    );
    // Of the ten answers, five say how fast the cell is.
    let latencies = series["cellway_cell_latency_seconds_count{cell=\"a\"}"];
    assert_eq!(latencies, 5.0);
}

#[test]
fn label_values_are_bounded() {
    let metrics = Metrics::new();
    let sink = metrics.sink();
    for cell in 0..CELLS_MAX + 100 {
        answered(&sink, &format!("cell-{cell}"));
    }
    let series = rendered(&metrics);
    let prefix = "cellway_cell_latency_seconds_count";
    let cells = series
        .keys()
        .filter(|name| name.starts_with(prefix))
        .count();
    assert_eq!(cells, CELLS_MAX + 1);
    assert_eq!(series[&format!("{prefix}{{cell=\"other\"}}")], 100.0);
}

/// Catches: a bound of 256 cells for each worker instead of for the router.
#[test]
fn the_bound_on_cells_is_of_all_workers_together() {
    let metrics = Metrics::new();
    let workers = [metrics.sink(), metrics.sink()];
    for (w, worker) in workers.iter().enumerate() {
        for cell in 0..CELLS_MAX {
            answered(worker, &format!("cell-{w}-{cell}"));
        }
    }
    let counted = cells(&metrics);
    assert_eq!(counted.len(), CELLS_MAX + 1);
    assert_eq!(counted["other"], CELLS_MAX as f64);
    assert_eq!(counted["cell-0-7"], 1.0);
    answered(&workers[1], "cell-0-7");
    assert_eq!(cells(&metrics)["cell-0-7"], 2.0, "both workers count it");
}

/// Catches: cells that are gone keep their counters, until no new cell gets any.
#[test]
fn a_cell_that_is_gone_makes_room_for_another() {
    let metrics = Metrics::new();
    let (worker, control) = (metrics.sink(), metrics.sink());
    let publish = |ids: &[&str]| {
        let snapshot = with_cells(ids);
        let snapshot = &snapshot;
        control.emit(Now::default(), &Event::Published { snapshot });
    };
    for generation in 0..3 {
        let own: Vec<_> = (0..CELLS_MAX)
            .map(|i| format!("{generation}-{i}"))
            .collect();
        let ids: Vec<&str> = own.iter().map(String::as_str).collect();
        publish(&ids);
        for id in &ids {
            answered(&worker, id);
        }
        let counted = cells(&metrics);
        assert_eq!(counted.len(), CELLS_MAX + 1);
        assert!(ids.iter().all(|id| counted[*id] == 1.0), "{generation}");
        assert_eq!(counted["other"], 0.0);
    }
    publish(&["a"]);
    assert_eq!(cells(&metrics).len(), 1, "only `other` is left");
    publish(&["a", "2-0"]);
    answered(&worker, "2-0");
    assert_eq!(cells(&metrics)["2-0"], 2.0, "one that comes back goes on");
}

/// Catches: two series with the same labels, which `parse` refuses.
#[test]
fn a_cell_called_other_is_counted_with_the_others() {
    let metrics = Metrics::new();
    let sink = metrics.sink();
    answered(&sink, "other");
    answered(&sink, "a");
    let loads = ["a", "other"].map(|cell| load(cell, 1));
    let page = metrics.render(&snapshot(), Mono::default(), &loads);
    let series = parse(&page);
    let of = |name: &str| series[&format!("cellway_cell_{name}{{cell=\"other\"}}")];
    assert_eq!(of("latency_seconds_count"), 1.0);
    assert_eq!(of("requests"), 1.0);
}

fn load(cell: &str, requests: usize) -> CellLoad {
    CellLoad {
        cell: Text::new(cell).unwrap(),
        requests,
        waiting: 0,
        limit: None,
        connections: 1,
        retries: 0,
        circuits_open: 0,
    }
}

/// The cells with counters, each with the number of its answers.
fn cells(metrics: &Metrics) -> BTreeMap<String, f64> {
    let prefix = "cellway_cell_latency_seconds_count{cell=\"";
    let series = rendered(metrics).into_iter();
    let cells = series.filter_map(|(name, count)| {
        let cell = name.strip_prefix(prefix)?.strip_suffix("\"}")?;
        Some((cell.to_owned(), count))
    });
    cells.collect()
}

/// A snapshot whose registry has these cells.
fn with_cells(ids: &[&str]) -> Snapshot {
    let cell = |id: &&str| serde_json::json!({ "id": id, "tier": "t", "region": "r", "state": "provisioning" });
    let cells: Vec<_> = ids.iter().map(cell).collect();
    let document = serde_json::json!({ "version": 1, "cells": cells }).to_string();
    let limits = RegistryLimits::default();
    let parsed = Registry::parse(document.as_bytes(), RegistryFormat::Json, None, &limits);
    let Ok(Parsed::Changed(candidate)) = parsed else {
        panic!("{parsed:?}");
    };
    Snapshot {
        registry: Some(Arc::new(candidate.into_registry())),
        ..Snapshot::clone(&snapshot())
    }
}

#[test]
fn shows_what_each_cell_takes_up_to_the_bound() {
    let ids: Vec<_> = (0..CELLS_MAX + 2).map(|i| format!("cell-{i:04}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let loads: Vec<_> = ids.iter().zip(0..).map(|(id, i)| load(id, i)).collect();
    let page = Metrics::new().render(&with_cells(&ids), Mono::default(), &loads);
    let series = parse(&page);
    assert_eq!(series["cellway_cell_requests{cell=\"cell-0007\"}"], 7.0);
    assert_eq!(series["cellway_cell_connections{cell=\"other\"}"], 2.0);
}

/// Catches: a scrape that gives counters to cells that are gone, so that new cells get none.
#[test]
fn a_cell_that_is_gone_stays_gone_while_it_still_has_requests() {
    let metrics = Metrics::new();
    let gone: Vec<_> = (0..CELLS_MAX)
        .map(|i| load(&format!("gone-{i}"), 1))
        .collect();
    let page = metrics.render(&with_cells(&["a"]), Mono::default(), &gone);
    let name = "cellway_cell_requests";
    assert_eq!(parse(&page)[&format!("{name}{{cell=\"other\"}}")], 256.0);
    let page = metrics.render(&with_cells(&["a"]), Mono::default(), &[load("a", 3)]);
    assert_eq!(parse(&page)[&format!("{name}{{cell=\"a\"}}")], 3.0);
}

#[test]
fn a_strange_name_stays_inside_its_label() {
    let metrics = Metrics::new();
    answered(&metrics.sink(), "a\"} 1 \\");
    let series = rendered(&metrics);
    let expected = "cellway_cell_latency_seconds_count{cell=\"a\\\"} 1 \\\\\"}";
    assert_eq!(series[expected], 1.0);
}
