//! Times and their histograms.

use super::*;

#[test]
fn buckets_are_cumulative_and_bounds_belong_to_their_bucket() {
    let metrics = Metrics::new();
    let sink = metrics.sink();
    let cell = Text::new("a").unwrap();
    for us in [500, 501, 99_000_000] {
        emit(
            &sink,
            Responded {
                cell: Some(&cell),
                latency: Duration::from_micros(us),
                ..responded()
            },
        );
    }
    let series = rendered(&metrics);
    let bucket = |le: &str| {
        series[&format!("cellway_cell_latency_seconds_bucket{{cell=\"a\",le=\"{le}\"}}")]
    };
    assert_eq!(bucket("0.0005"), 1.0);
    assert_eq!(bucket("0.001"), 2.0);
    assert_eq!(bucket("10"), 2.0);
    assert_eq!(bucket("+Inf"), 3.0);
    assert_eq!(
        series["cellway_cell_latency_seconds_count{cell=\"a\"}"],
        3.0
    );
    assert_eq!(
        series["cellway_cell_latency_seconds_sum{cell=\"a\"}"],
        99.001001
    );
}

/// Catches: a time that is added to the histogram of another, and an empty histogram of waits.
#[test]
fn each_time_goes_into_its_own_histogram() {
    let metrics = Metrics::new();
    let sink = metrics.sink();
    let cell = Text::new("a").unwrap();
    let ms = Duration::from_millis;
    let (of_cell, of_router) = ((Owner::Cell, ms(1), ms(2)), (Owner::Router, ms(4), ms(8)));
    let of_client = (Owner::Client, ms(128), ms(256));
    for (owner, latency, duration) in [of_cell, of_router, of_client] {
        emit(
            &sink,
            Responded {
                owner,
                cell: Some(&cell),
                latency,
                duration,
                ..responded()
            },
        );
    }
    let waited = |what, cell, time| Event::Waited {
        request_id: "1",
        what,
        cell,
        time,
    };
    let connected = Event::CellConnected {
        cell: &cell,
        endpoint: "https://a.example",
        took: ms(64),
    };
    for event in [
        waited(Wait::Keys, None, ms(16)),
        waited(Wait::Place, Some(&cell), ms(32)),
        connected,
    ] {
        sink.emit(Now::default(), &event);
    }
    let series = rendered(&metrics);
    let sums = series.iter().filter_map(|(name, sum)| {
        let (family, labels) = name.strip_prefix("cellway_")?.split_once("_sum")?;
        let count = series[&format!("cellway_{family}_count{labels}")];
        Some(format!("{family}{labels} {sum} {count}"))
    });
    assert_eq!(
        sums.collect::<Vec<_>>(),
        [
            "cell_connect_seconds{cell=\"a\"} 0.064 1",
            "cell_latency_seconds{cell=\"a\"} 0.001 1",
            "cell_latency_seconds{cell=\"other\"} 0 0",
            "cell_queue_seconds{cell=\"a\"} 0.032 1",
            "key_wait_seconds 0.016 1",
            "request_duration_seconds{owner=\"cell\"} 0.002 1",
            "request_duration_seconds{owner=\"client\"} 0.256 1",
            "request_duration_seconds{owner=\"router\"} 0.008 1",
        ]
    );
}
