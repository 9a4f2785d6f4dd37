//! The table of faults. A row has the name and fields of a kind of fault in a scenario, what it changes
//! for a time, its line in timelines, and its entry in `docs/scenarios.md`. The macro makes the enum,
//! the reader, the check of overlaps and the docs from the rows. The world must have an arm for each
//! variant of the enum.

use std::fmt;
use std::time::Duration;

use super::reader::Reader;
use super::registry::NewRegistry;
use super::touched::Touches;
use super::{Affected, Affects, Authority};
use crate::scenario::choices::CellState;
use crate::scenario::file::Name;

/// What the docs and the messages say about a row of a table.
pub(super) struct Row {
    /// Its name in scenarios.
    pub(super) word: &'static str,
    /// Its own fields, apart from `at`, `kind` and `for`.
    pub(super) fields: &'static [&'static str],
    /// Whether it lasts, so that it needs `for`.
    pub(super) lasts: bool,
    /// What happens, in Markdown.
    pub(super) docs: &'static str,
}

/// Makes an enum of a table. Each row is
/// `"name" => Variant(field: type = method of the reader) [lasts thing] says (format) docs "text";`.
macro_rules! table {
    (
        $(#[$about:meta])*
        pub enum $name:ident, $field:literal names a $what:literal {
            $(
                $(#[$doc:meta])*
                $word:literal => $variant:ident
                    $( ( $( $argument:ident : $type:ty = $read:ident ),+ ) )?
                    $( lasts $thing:expr, )?
                    says ( $( $says:tt )+ )
                    docs $docs:literal;
            )+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, PartialEq, Debug)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$doc])* $variant $( ( $( $type ),+ ) )?, )+
        }

        impl $name {
            pub(super) const ROWS: &'static [Row] = &[
                $( Row {
                    word: $word,
                    fields: &[ $( $( stringify!($argument) ),+ )? ],
                    lasts: !<[&str]>::is_empty(&[ $( stringify!($thing) )? ]),
                    docs: $docs,
                }, )+
            ];

            /// Reads the fields of the row of this name.
            pub(super) fn read(name: &Name, reader: &mut Reader<'_, '_, '_>) -> Option<Self> {
                Some(match name.get_ref().as_str() {
                    $( $word => Self::$variant $( ( $( reader.$read()? ),+ ) )?, )+
                    _ => {
                        let words = Self::ROWS.iter().map(|row| row.word);
                        reader.unknown(name, $field, $what, words);
                        return None;
                    }
                })
            }
        }

        impl $name {
            /// The names in its fields.
            #[allow(dead_code, reason = "nobody asks what a document names")]
            pub(super) fn arguments(&self) -> Vec<&str> {
                match self {
                    $( Self::$variant $( ( $( $argument ),+ ) )? => {
                        let names: &[Vec<&str>] = &[ $( $( $argument.names() ),+ )? ];
                        names.concat()
                    } )+
                }
            }
        }

        impl Affects for $name {
            #[expect(unused_variables, reason = "a row names only what it changes")]
            fn affects(&self) -> Option<Affected<'_>> {
                match self {
                    $( Self::$variant $( ( $( $argument ),+ ) )? => {
                        let lasting: [Option<Affected<'_>>; _] = [ $( Some($thing), )? None ];
                        lasting.into_iter().next().flatten()
                    } )+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $( Self::$variant $( ( $( $argument ),+ ) )? => write!(f, $( $says )+), )+
                }
            }
        }
    };
}

use Affected::{Host, Link};

table! {
    /// A kind of fault, or something that operators do.
    pub enum FaultKind, "kind" names a "kind of fault" {
        /// A host stops at once and starts again at the end.
        "crash" => Crash(target: String = host)
            lasts Host("life", target),
            says ("crash {target}")
            docs "a host stops; it starts again at the end, with its disk";
        /// A router drains as on SIGTERM, and starts again at the end.
        "drain" => Drain(target: String = router)
            lasts Host("life", target),
            says ("drain {target}")
            docs "a router drains as on SIGTERM; it starts again at the end, with its disk";
        /// No message arrives between two hosts until the end; then all are delivered.
        "partition" => Partition(between: [String; 2] = between)
            lasts Link("partition", between),
            says ("partition {} | {}", between[0], between[1])
            docs "no message arrives between two hosts; all are delivered at the end";
        /// No message from the first host arrives at the second one until the end; then all are delivered.
        "one_way_partition" => OneWayPartition(between: [String; 2] = between)
            lasts Link("partition", between),
            says ("partition {} -> {}", between[0], between[1])
            docs "no message from the first host arrives at the second; what the second sends arrives; needs the engine `events`";
        /// Some messages between two hosts come this much later, and hold up those behind them.
        "stalls" => Stalls(between: [String; 2] = between, delay: Duration = delay)
            lasts Link("latency", between),
            says ("stalls {} - {} of {delay:?}", between[0], between[1])
            docs "one of twenty messages between two hosts comes this much later, and so does what follows it on its connection, as if TCP had sent it again; needs the engine `events`";
        /// Messages between two hosts take exactly this long.
        "latency" => Latency(between: [String; 2] = between, delay: Duration = delay)
            lasts Link("latency", between),
            says ("latency {} - {} {delay:?}", between[0], between[1])
            docs "messages between two hosts take exactly this long";
        /// A cell, identity provider or the control plane answers this much later.
        "slow" => Slow(target: String = service, delay: Duration = delay)
            lasts Host("answers", target),
            says ("slow {target} by {delay:?}")
            docs "a cell, identity provider or the control plane (`control-plane`) answers later";
        /// A cell works on four requests at once, on each for this long.
        "busy" => Busy(target: String = cell_target, delay: Duration = delay)
            lasts Host("answers", target),
            says ("{target} works on four requests at once, {delay:?} each")
            docs "a cell works on four requests at once, on each for `delay`; the others wait inside it";
        /// A cell, identity provider or the control plane answers with this status.
        "status" => Status(target: String = service, status: u16 = status)
            lasts Host("answers", target),
            says ("{target} answers {status}")
            docs "a cell, identity provider or the control plane answers with this error";
        /// A cell answers 503 and says when to come back.
        "unavailable" => Unavailable(target: String = cell_target, retry_after: Duration = retry_after)
            lasts Host("answers", target),
            says ("{target} answers 503 and asks to come back after {retry_after:?}")
            docs "a cell answers 503 with `Retry-After`";
        /// A cell ends gRPC calls with this status and no message.
        "grpc_status" => GrpcStatus(target: String = http2_cell, status: u8 = grpc_status)
            lasts Host("answers", target),
            says ("{target} ends calls with the status {status}")
            docs "a cell ends gRPC calls with this `grpc-status` and no message; it serves other requests";
        /// A cell ends gRPC calls with this status after a message.
        "late_grpc_status" => LateGrpcStatus(target: String = http2_cell, status: u8 = grpc_status)
            lasts Host("answers", target),
            says ("{target} ends calls with the status {status} after a message")
            docs "the same, after a message; so the status is in the trailers, where it says nothing about the endpoint";
        /// The gRPC health service of a cell says that it doesn't serve.
        "not_serving" => NotServing(target: String = http2_cell)
            lasts Host("answers", target),
            says ("{target} says that it doesn't serve")
            docs "a cell's `grpc.health.v1.Health` answers `NOT_SERVING`; it serves all other requests";
        /// A cell accepts requests and never answers.
        "half_open" => HalfOpen(target: String = cell_target)
            lasts Host("answers", target),
            says ("half-open {target}")
            docs "a cell accepts requests and never answers";
        /// A cell never answers requests with a path like this.
        "hang" => Hang(target: String = cell_target)
            lasts Host("answers", target),
            says ("{target} hangs at /hang")
            docs "a cell never answers requests whose path begins with `/hang`; it answers all others";
        /// A cell answers before it has read the body, and reads on slowly.
        "answer_early" => AnswerEarly(target: String = cell_target)
            lasts Host("answers", target),
            says ("{target} answers uploads early and reads on slowly")
            docs "a cell answers requests whose path begins with `/upload` before it has read their bodies, and then goes on reading slowly";
        /// A cell answers before it has read the body, and doesn't read it.
        "answer_unread" => AnswerUnread(target: String = cell_target)
            lasts Host("answers", target),
            says ("{target} answers uploads early and never reads them")
            docs "the same, but the cell never reads the bodies, and doesn't say so";
        /// A cell reads nothing from any connection.
        "deaf" => Deaf(target: String = cell_target)
            lasts Host("answers", target),
            says ("{target} reads nothing")
            docs "a cell accepts connections and reads nothing, also from those that are open; at the end it reads what has come";
        /// A cell breaks off its answers in the middle.
        "reset" => Reset(target: String = cell_target)
            lasts Host("answers", target),
            says ("{target} breaks answers off")
            docs "a cell breaks off its answers in the middle";
        /// A cell accepts requests and breaks off before it answers.
        "break_off" => BreakOff(target: String = cell_target)
            lasts Host("answers", target),
            says ("{target} breaks off before it answers")
            docs "a cell accepts requests and breaks off before it answers: it resets the HTTP/2 stream, or closes the HTTP/1.1 connection";
        /// A cell serves some requests and breaks off the next ones, by turns.
        "flap" => Flap(target: String = cell_target)
            lasts Host("answers", target),
            says ("{target} flaps")
            docs "a cell breaks off ten requests, as with `break_off`, then serves ten, and so on";
        /// A cell refuses new connections.
        "refuse_connections" => RefuseConnections(target: String = cell_target)
            lasts Host("door", target),
            says ("{target} refuses connections")
            docs "a cell refuses new connections; open ones continue";
        /// A cell refuses all HTTP/2 streams.
        "refuse_streams" => RefuseStreams(target: String = http2_cell)
            lasts Host("answers", target),
            says ("{target} refuses streams")
            docs "a cell refuses every HTTP/2 stream (`REFUSED_STREAM`)";
        /// A cell allows this many streams on each HTTP/2 connection.
        "few_streams" => FewStreams(target: String = http2_cell, streams: u32 = streams)
            lasts Host("streams", target),
            says ("{target} allows {streams} streams on a connection")
            docs "a cell allows this many streams on each HTTP/2 connection (`SETTINGS_MAX_CONCURRENT_STREAMS`) and refuses the others; it says so on open connections too";
        /// A cell closes each HTTP/2 connection after some requests, and disclaims the later ones.
        "go_away" => GoAway(target: String = http2_cell)
            lasts Host("answers", target),
            says ("connections of {target} go away")
            docs "a cell serves twenty requests on each HTTP/2 connection, and disclaims those that follow (`GOAWAY` with a lower last stream id)";
        /// A cell sends early hints before each answer.
        "early_hints" => EarlyHints(target: String = cell_target, hints: u32 = hints)
            lasts Host("answers", target),
            says ("{target} sends {hints} early hints before each answer")
            docs "a cell sends this many early hints (103) before each answer; an HTTP/1.1 cell that sends more than 100 is cut off";
        /// An identity provider answers with no keys.
        "empty_keys" => EmptyKeys(target: String = identity_provider)
            lasts Host("answers", target),
            says ("{target} has no keys")
            docs "an identity provider has no keys";
        /// An identity provider's key set is larger than a router accepts.
        "huge_keys" => HugeKeys(target: String = identity_provider)
            lasts Host("answers", target),
            says ("{target} has a huge key set")
            docs "an identity provider's key set is larger than a router accepts";
        /// An identity provider's discovery document names another issuer.
        "wrong_issuer" => WrongIssuer(target: String = identity_provider)
            lasts Host("answers", target),
            says ("{target} calls itself another issuer")
            docs "an identity provider's discovery document names another issuer";
        /// An identity provider (the first host) serves the keys of another one (the second host).
        "wrong_keys" => WrongKeys(target: String = identity_provider, keys_of: String = keys_of)
            lasts Host("keys", target),
            says ("{target} serves the keys of {keys_of}")
            docs "an identity provider serves the key set of another";
        /// A cell, identity provider or the control plane answers with garbage.
        "garbage" => Garbage(target: String = service)
            lasts Host("answers", target),
            says ("{target} answers garbage")
            docs "a cell, identity provider or the control plane answers with garbage; new connections to a cell get bytes that are no HTTP";
        /// An identity provider publishes a key.
        "publish_key" => PublishKey(target: String = identity_provider, key: String = key)
            says ("{target} publishes key {key}")
            docs "an identity provider adds a key to its set: the first step of a planned rotation";
        /// An identity provider signs with this published key from now on.
        "sign_with" => SignWith(target: String = identity_provider, key: String = key)
            says ("{target} signs with key {key}")
            docs "an identity provider signs with this key from now on: the second step";
        /// An identity provider removes a key from its set.
        "withdraw_key" => WithdrawKey(target: String = identity_provider, key: String = key)
            says ("{target} withdraws key {key}")
            docs "an identity provider removes a key from its set: the last step";
        /// An identity provider replaces all its keys by a new one.
        "replace_keys" => ReplaceKeys(target: String = identity_provider, key: String = key)
            says ("{target} replaces all keys by {key}")
            docs "an identity provider has only this key from now on, without a planned rotation";
        /// The control plane publishes a document.
        "publish" => Publish(document: Change = change)
            says ("publish {document}")
            docs "the control plane publishes one of the documents below";
        /// A router or a cell gets a new serving certificate.
        "rotate_certificate" => RotateCertificate(target: String = served)
            says ("new certificate for {target}")
            docs "a router gets a new serving certificate on its disk, or a cell serves with a new one";
        /// A router or a cell gets a serving certificate that expires after this time.
        "expiring_certificate" => ExpiringCertificate(target: String = served, lifetime: Duration = lifetime)
            says ("certificate for {target} that ends in {lifetime:?}")
            docs "the same, and the certificate expires after `lifetime`";
        /// A cell (the first one) serves with the certificate of another (the second one).
        "wrong_certificate" => WrongCertificate(target: String = cell_itself, cell: String = cell)
            lasts Host("certificate", target),
            says ("{target} serves with the certificate of {cell}")
            docs "new connections to the cell `target` show the certificate of `cell`";
        /// A router's serving certificate is replaced by a broken file until the end.
        "break_certificate" => BreakCertificate(target: String = router)
            lasts Host("certificate", target),
            says ("broken certificate for {target}")
            docs "a router's serving certificate is replaced by a broken file";
        /// These settings are merged into a router's configuration file.
        "configure" => Configure(target: String = router, settings: toml::Table = settings)
            says ("configure {target}: {}", toml::Value::Table(settings.clone()))
            docs "a router's configuration file gets these settings, over those it has: `settings = { policy = { mode = \"required\" } }`";
        /// A router's configuration file has these settings, instead of those that it had.
        "replace_configuration" => ReplaceConfiguration(target: String = router, settings: toml::Table = settings)
            says ("replace the configuration of {target}: {}", toml::Value::Table(settings.clone()))
            docs "a router's configuration file gets these settings instead of those it has; all others are the simulator's own";
        /// A router's configuration is replaced by a broken file until the end.
        "break_configuration" => BreakConfiguration(target: String = router)
            lasts Host("configuration", target),
            says ("broken configuration for {target}")
            docs "a router's configuration is replaced by a broken file";
        /// Everyone who trusts the authority trusts its successor too.
        "trust_next" => TrustNext(authority: Authority = authority)
            says ("trust the next {} authority too", authority.as_str())
            docs "everyone who trusts the authority (`clients`, `cells` or `servers`) trusts its successor too: the first step of a rotation";
        /// The successor issues all certificates of the authority anew.
        "issue_from_next" => IssueFromNext(authority: Authority = authority)
            says ("issue from the next {} authority", authority.as_str())
            docs "the successor issues all certificates anew: the second step";
        /// Nobody trusts the old authority any more.
        "drop_old" => DropOld(authority: Authority = authority)
            says ("distrust the old {} authority", authority.as_str())
            docs "nobody trusts the old authority any more: the last step";
        /// The folder of envelope keys, which all routers share, gets a new key. It signs after this time.
        "add_envelope_key" => AddEnvelopeKey(key: String = envelope_key, signs_after: Duration = signs_after)
            says ("new key {key} for envelopes, signs after {signs_after:?}")
            docs "the folder of keys for envelopes, which all routers share, gets a new key; it signs after this long";
        /// A key is removed from that folder.
        "remove_envelope_key" => RemoveEnvelopeKey(key: String = envelope_key)
            says ("key {key} for envelopes is removed")
            docs "a key is removed from that folder; the first one is `env-1`";
        /// A host's wall clock is wrong by this many milliseconds.
        "clock_skew" => ClockSkew(target: String = host, skew: i64 = skew)
            lasts Host("clock", target),
            says ("clock of {target} off by {skew}ms")
            docs "a host's wall clock is wrong: it steps at the beginning, and back at the end";
        /// A host's wall clock gains or loses this many milliseconds in each second.
        "clock_drift" => ClockDrift(target: String = host, drift: i64 = skew)
            lasts Host("clock", target),
            says ("clock of {target} drifts by {drift}ms a second")
            docs "a host's wall clock gains (`ahead`) or loses (`behind`) this much in each second, and steps back at the end";
        /// Others learn the address of a host this much later, whenever they connect to it.
        "slow_dns" => SlowDns(target: String = service, delay: Duration = delay)
            lasts Host("name", target),
            says ("the name of {target} resolves after {delay:?}")
            docs "the name of a cell's hosts, an identity provider or the control plane resolves only after `delay`, for each new connection";
        /// Others don't learn the address of a host.
        "no_dns" => NoDns(target: String = service)
            lasts Host("name", target),
            says ("the name of {target} doesn't resolve")
            docs "the same, but the name doesn't resolve at all";
        /// Every other request to the control plane gets the document before the present one.
        "lagging_replica" => LaggingReplica(target: String = control_plane)
            lasts Host("replica", target),
            says ("every other answer of {target} is the document before")
            docs "two replicas of the control plane answer in turn, and one of them still has the document before the present one";
        /// Reads and writes of a host's disk take this long.
        "slow_disk" => SlowDisk(target: String = router, delay: Duration = delay)
            lasts Host("speed of the disk", target),
            says ("disk of {target} slow by {delay:?}")
            docs "each read and write of a router's disk takes this much longer";
        /// Every file that a router has written loses its second half.
        "damaged_files" => DamagedFiles(target: String = router)
            says ("files of {target} cut in half")
            docs "every file that a router has written itself loses its second half, as after a crash of the machine";
        /// A host's disk is full.
        "disk_full" => DiskFull(target: String = router)
            lasts Host("disk", target),
            says ("disk of {target} full")
            docs "a router can't write";
        /// The next write to a host's disk keeps only the first half.
        "torn_write" => TornWrite(target: String = router)
            says ("torn write on {target}")
            docs "a router's next write keeps only the first half";
    }
}

table! {
    /// A change to the registry that the control plane publishes.
    pub enum Change, "document" names a "document" {
        /// The next version, otherwise the same.
        "same" => Same
            says ("the same again")
            docs "the next version, otherwise the same";
        /// The next version, in which a tenant has another cell.
        "move" => Move(tenant: String = tenant, cell: String = cell)
            says ("{tenant} moved to {cell}")
            docs "a tenant has another cell";
        /// The next version, in which a tenant is suspended.
        "suspend" => Suspend(tenant: String = tenant)
            says ("{tenant} suspended")
            docs "a tenant is suspended";
        /// The next version, in which a tenant is active again.
        "resume" => Resume(tenant: String = tenant)
            says ("{tenant} active again")
            docs "a tenant is active again";
        /// The next version, in which the credentials of a tenant's subject are revoked.
        "revoke" => Revoke(tenant: String = tenant, subject: String = subject)
            says ("{subject} of {tenant} revoked")
            docs "the credentials of `subject`, a client's name, are revoked";
        /// The next version, in which the credentials of a tenant's subject are not revoked any more.
        "restore" => Restore(tenant: String = tenant, subject: String = subject)
            says ("{subject} of {tenant} not revoked")
            docs "the credentials of `subject` are not revoked any more";
        /// The next version, in which a cell has another state.
        "cell_state" => CellState(cell: String = cell, state: CellState = state)
            says ("{cell} {}", state.as_str())
            docs "a cell has another state";
        /// The next version, in which a cell has another endpoint in place of one.
        "move_endpoint" => MoveEndpoint(from: String = endpoint, to: String = other_endpoint)
            says ("{from} replaced by {to}")
            docs "a cell has the endpoint `to`, which the registry doesn't list then, in place of `target`; see `listed`";
        /// The next version, which has a cell's key for calls to other cells.
        "cell_key" => CellKey(cell: String = cell)
            says ("the key of {cell}")
            docs "the key of a cell for calls to other cells is added; see `publishes_key`";
        /// The next version, with other cells, placements and tenants.
        "registry" => Registry(registry: Box<NewRegistry> = registry)
            says ("another registry, with {} cells and {} tenants", registry.cells.len(), registry.tenants.len())
            docs "all cells, placements and tenants are those of `registry`: `{ cell = [{ id, tier, region, state, endpoints = [hosts] }], placement = [...], tenant = [...], unknown_tenant }`, with the fields of `[[world.placement]]` and `[[world.tenant]]`; `allow_shrink = true` if many are gone";
        /// A version that was published before, with every tenant elsewhere. Must be refused.
        "older" => Older
            says ("an older version")
            docs "the version before the first one, with other content; must be refused";
        /// The present version with other content. Must be refused.
        "same_version" => SameVersion
            says ("other content under the same version")
            docs "the same version with other content; must be refused";
        /// A document that contradicts itself. Must be refused.
        "invalid" => Invalid
            says ("an invalid document")
            docs "a document that contradicts itself; must be refused";
        /// A document without cells. Must be refused.
        "empty" => Empty
            says ("an empty document")
            docs "a document without cells; must be refused";
        /// A document that has lost half its tenants. Must be refused.
        "shrunken" => Shrunken
            says ("a shrunken document")
            docs "a document that has lost half its tenants; must be refused";
    }
}

impl Reader<'_, '_, '_> {
    /// The document that the control plane publishes.
    fn change(&mut self) -> Option<Change> {
        let document = self.document()?;
        Change::read(&document, self)
    }
}
