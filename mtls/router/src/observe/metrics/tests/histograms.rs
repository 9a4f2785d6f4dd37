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
