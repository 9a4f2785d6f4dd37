//! The points that a search ought to reach.

/// Makes the enum and the list of points.
macro_rules! points {
    ( $( $word:literal => $variant:ident docs $docs:literal; )+ ) => {
        /// A state of the world that a search ought to reach.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Point {
            $( #[doc = $docs] $variant, )+
        }

        impl Point {
            /// All points.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }

            /// What happened.
            pub const fn docs(self) -> &'static str {
                match self { $( Self::$variant => $docs, )+ }
            }
        }
    };
}

points! {
    "retried_elsewhere" => RetriedElsewhere
        docs "a request arrived at a second endpoint of its cell";
    "retried_there" => RetriedThere
        docs "a request arrived at the same endpoint again";
    "tried_three_times" => TriedThreeTimes
        docs "a request arrived at cells three times";
    "retry_served" => RetryServed
        docs "a request that had arrived twice was answered well";
    "upload_retried" => UploadRetried
        docs "a request with a body arrived twice";
    "tried_at_once" => TriedAtOnce
        docs "two endpoints worked on one request at the same time";
    "arrived_late" => ArrivedLate
        docs "a request arrived at a cell after its client had its answer";
    "failed_over_unreachable" => FailedOverUnreachable
        docs "a request went to another cell because no endpoint of its own could be reached";
    "failed_over_circuit" => FailedOverCircuit
        docs "a request went to another cell because the breakers of its own were open";
    "failed_over_unhealthy" => FailedOverUnhealthy
        docs "a request went to another cell because no endpoint of its own was healthy";
    "failed_over_inactive" => FailedOverInactive
        docs "a request went to a fallback because no cell of its placement takes traffic";
    "failed_over_twice" => FailedOverTwice
        docs "a request went to another cell, and from there to a third";
    "failover_served" => FailoverServed
        docs "a request that went to another cell was answered well";
    "answered_before_body" => AnsweredBeforeBody
        docs "a client had its answer before the cell had its body";
    "upload_cut" => UploadCut
        docs "a body did not arrive at its cell whole";
    "answer_cut" => AnswerCut
        docs "a client got a status, but not the whole answer";
    "client_gone" => ClientGone
        docs "a client went away before its router answered";
    "refused_connection" => RefusedConnection
        docs "a client could not connect to its router";
    "tunnel_closed_1001" => TunnelClosed1001
        docs "a WebSocket was closed with 1001 (going away)";
    "tunnel_closed_1008" => TunnelClosed1008
        docs "a WebSocket was closed with 1008 (policy violation)";
    "call_deadline" => CallDeadline
        docs "a gRPC call ended with status 4 (deadline exceeded)";
    "call_unavailable" => CallUnavailable
        docs "a gRPC call ended with status 14 (unavailable)";
    "call_exhausted" => CallExhausted
        docs "a gRPC call ended with status 8 (resource exhausted)";
    "keys_waited_for" => KeysWaitedFor
        docs "a request was allowed after its router had fetched keys for it";
    "keys_waited_in_vain" => KeysWaitedInVain
        docs "a request was refused for its key after its router had asked for keys";
    "keys_old_used" => KeysOldUsed
        docs "a token was accepted while its provider had a fault";
    "keys_restored" => KeysRestored
        docs "a router used keys from its disk";
    "keys_refused" => KeysRefused
        docs "a router refused an issuer's key set";
    "keys_changed" => KeysChanged
        docs "a router had a second key set of an issuer";
    "second_key_accepted" => SecondKeyAccepted
        docs "a token of an issuer's second key was accepted";
    "clock_refused_good" => ClockRefusedGood
        docs "a good token was refused for its time";
    "clock_wrong_allowed" => ClockWrongAllowed
        docs "a router allowed a request while its clock was wrong by more than a second";
    "registry_old_used" => RegistryOldUsed
        docs "a request was allowed while the control plane had a fault";
    "registry_behind" => RegistryBehind
        docs "a router decided on a version two seconds after a newer one was published";
    "registry_apart" => RegistryApart
        docs "two routers decided on different versions within a second";
    "registry_refused" => RegistryRefused
        docs "a router refused a document";
    "registry_stale" => RegistryStale
        docs "a router's registry was stale";
    "tenant_moved" => TenantMoved
        docs "requests of one tenant were decided for two cells";
    "suspended_by_one" => SuspendedByOne
        docs "a router knew a suspension and another one did not yet";
    "suspended_stream" => SuspendedStream
        docs "an open request was closed because its caller is refused by now";
    "restarted_from_disk" => RestartedFromDisk
        docs "a router allowed requests after a restart while the control plane had a fault";
    "crashed_busy" => CrashedBusy
        docs "a router crashed with requests open";
    "cell_stopped_busy" => CellStoppedBusy
        docs "an endpoint stopped while it worked on requests";
    "drained_busy" => DrainedBusy
        docs "a router began to drain with requests open";
    "drain_served" => DrainServed
        docs "a router that drains allowed a request";
    "drained" => Drained
        docs "a router has drained";
    "reload_refused" => ReloadRefused
        docs "a router refused to reload";
    "reloaded" => Reloaded
        docs "a router reloaded its settings or files";
    "ejected" => Ejected
        docs "a router ejected an endpoint";
    "ejected_again" => EjectedAgain
        docs "a router ejected an endpoint that it had ejected before";
    "ejected_by_one" => EjectedByOne
        docs "an endpoint that a router had ejected got a request from another router";
    "ejected_used" => EjectedUsed
        docs "an ejected endpoint got a request of the router that had ejected it (panic mode)";
    "returned_used" => ReturnedUsed
        docs "an endpoint got a request within five seconds after its return";
    "breaker_opened" => BreakerOpened
        docs "a breaker opened";
    "breaker_probed" => BreakerProbed
        docs "a half-open breaker let its one request pass";
    "breaker_probe_failed" => BreakerProbeFailed
        docs "the request that tried an endpoint again failed";
    "breaker_closed" => BreakerClosed
        docs "the request that tried an endpoint again was answered, and the breaker closed";
    "breaker_freed" => BreakerFreed
        docs "the request that tried an endpoint again ended without an outcome";
    "breaker_and_ejected" => BreakerAndEjected
        docs "a router had an endpoint ejected and its breaker open";
    "checks_fail" => ChecksFail
        docs "an endpoint's health checks failed";
    "checks_succeed" => ChecksSucceed
        docs "an endpoint's health checks succeeded again";
    "share_used_up" => ShareUsedUp
        docs "a caller or tenant had used up its share of a cell or of connections";
    "few_streams" => FewStreams
        docs "a request arrived on a connection on which its cell allows few streams";
    "envelope_key_changed" => EnvelopeKeyChanged
        docs "a cell accepted envelopes of a second key";
    "envelope_keys_missing" => EnvelopeKeysMissing
        docs "a cell could not fetch the keys for envelopes";
    "envelope_refused" => EnvelopeRefused
        docs "a cell refused an envelope";
    "certificate_changed" => CertificateChanged
        docs "a client connected to a router and got another certificate than before";
    "certificate_expired" => CertificateExpired
        docs "a router closed a connection because its client's certificate had expired";
    "tls_refused" => TlsRefused
        docs "a router refused a TLS handshake";
    "disk_failed" => DiskFailed
        docs "a router could not keep a copy on its disk";
    "disk_damaged" => DiskDamaged
        docs "a router rejected a damaged copy on its disk";
    "envoy_allowed" => EnvoyAllowed
        docs "an Envoy's request was allowed";
    "envoy_denied" => EnvoyDenied
        docs "an Envoy's request was denied";
    "call_between_cells" => CallBetweenCells
        docs "a call between cells arrived with its authorization";
}
