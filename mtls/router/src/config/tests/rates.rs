//! Mistakes of rate limits.

use super::mistakes::{and, each_is_named};

/// The shortest valid configuration with a `[[traffic]]` that has these rate limits.
fn rates(limits: &str) -> String {
    and(&format!(
        "[[traffic]]\nname = \"a\"\nrate_limit = [{limits}]\n"
    ))
}

#[test]
fn names_mistakes_of_rate_limits() {
    each_is_named(&[
        (
            rates("{ per = \"tenant\", requests = 0 }"),
            "traffic[0].rate_limit[0].requests: must be 1 or more",
        ),
        (
            rates("{ per = \"tenant\", requests = 200000 }"),
            "traffic[0].rate_limit[0].requests: is more than 100000 requests per second\n    \
             give at most 100000",
        ),
        (
            rates("{ per = \"tenant\", requests = 1, window_secs = 60, burst = 1441 }"),
            "traffic[0].rate_limit[0].burst: takes more than 86400 seconds to come back at this rate\n    \
             give at most 1440",
        ),
        (
            rates("{ per = \"tenant\", requests = 5, window_secs = 90000 }"),
            "traffic[0].rate_limit[0].window_secs: is more than 86400 seconds\n    give at most 86400",
        ),
        (
            rates("{ per = \"tenant\", requests = 1 }, { per = \"tenant\", requests = 2 }"),
            "traffic[0].rate_limit[1].per: another limit is per tenant too",
        ),
        (
            rates("{ per = \"route\", requests = 1, always = true }"),
            "traffic[0].rate_limit[0].always: has no effect",
        ),
        (
            rates("{ per = \"day\", requests = 1 }"),
            "traffic[0].rate_limit[0].per: ",
        ),
        (
            rates("{ per = \"tenant\", requests = 9, burst = 2 }")
                + "[rate_limits]\nshared_by = 3\n",
            "traffic[0].rate_limit[0].burst: is 2, and 3 routers share it",
        ),
        (
            rates("{ per = \"tenant\", requests = 2 }") + "[rate_limits]\nshared_by = 3\n",
            "traffic[0].rate_limit[0].requests: is 2, and 3 routers share it",
        ),
        (
            and("[rate_limits]\nshared_by = 0\n"),
            "rate_limits.shared_by: is 0",
        ),
    ]);
}
