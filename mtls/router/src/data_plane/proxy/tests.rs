use cellway_env::tokio::TokioEnv;

use super::*;

fn size<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

/// It is moved several times for each request, and over HTTP/2 allocated.
#[test]
fn the_future_of_a_request_stays_small() {
    let serve = size(serve::<TokioEnv, ()>);
    assert!(serve <= 2600, "{serve} bytes");
}
