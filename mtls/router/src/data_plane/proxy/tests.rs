use cellway_env::tokio::TokioEnv;

use super::*;

fn size<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

/// HTTP/2 moves and allocates it for each request.
#[test]
fn the_future_of_a_request_stays_small() {
    let serve = size(serve::<TokioEnv, ()>);
    assert!(serve <= 2320, "{serve} bytes");
}
