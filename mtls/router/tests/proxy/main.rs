//! A whole router over real sockets, between a real client and real cells.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets something else has found a bug"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests run on tokio alone and spawn what plays the other sides"
)]

mod access_log;
mod adaptive_limit;
mod answer_before_body;
mod answers;
mod body_after_answer;
mod body_limit;
mod breaker;
mod cells;
mod client_address;
mod clock;
mod connection_age;
mod cors;
mod cut_clients;
mod cut_requests;
mod drain;
mod endpoints;
mod envelope;
mod event_stream;
mod explained;
mod failover;
mod fair_breaker;
mod flooded_streams;
mod forward;
mod frames;
mod grpc;
mod half_closed;
mod health_checks;
mod health_service;
mod hedge;
mod hedge_race;
mod hedge_time;
mod http2_cells;
mod identity;
mod idle_http1;
mod idle_http2;
mod interim;
mod interim_http2;
mod kept_unread;
mod listener_changed;
mod malformed;
mod memory;
mod outliers;
mod own_answers;
mod queue;
mod rate_limits;
mod raw;
mod replay;
mod request_limits;
mod retry;
mod retry_by_setting;
mod revocation;
mod revoked_while_open;
mod shared_attempts;
mod shared_failures;
mod shares;
mod stepped_clock;
mod streams;
mod suspension;
mod timeouts;
mod timings;
mod tokens;
mod trace;
mod trailers;
mod upgrade;
mod uploads;
mod windows;
mod wire;
mod world;
