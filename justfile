# Shortcuts. Each is one plain command, so `just` itself is never needed.

# List the recipes
default:
    @just --list

# Everything that must hold before a change lands
ci:
    bash .ci/run

# All tests
test:
    cargo test --workspace

# The whole product in one process on loopback; Ctrl-C ends it
demo *ARGS:
    cargo run --release --bin cellway -- demo {{ARGS}}

# One scenario: just sim scenarios/outage.toml --seed 7
sim *ARGS:
    cargo run --release -p cellway-sim -- run {{ARGS}}

# All scenarios over many seeds
sweep SEEDS="100":
    cargo run --release -p cellway-sim -- sweep scenarios/ --seeds {{SEEDS}}

# Search for failures: just explore --for 10min
explore *ARGS:
    cargo run --release -p cellway-sim -- explore {{ARGS}}

# Benchmarks: core decisions, registry size, and requests through the real proxy
bench:
    cargo bench -p cellway-tests
    cargo bench -p cellway --bench proxy

# CPU time of a request, for each kind of work (benches/README.md)
bench-proxy:
    cargo bench --profile dist -p cellway --bench proxy

# Instructions of a request; fails if there are over 5 % more than benches/instructions.json says
bench-guard *ARGS:
    cargo bench -p cellway --bench proxy -- --instructions {{ARGS}}

# Memory of 10,000 idle connections, and what a million tenants cost (benches/README.md)
bench-memory:
    cargo bench --profile dist -p cellway --bench proxy -- --idle
    cargo bench --profile dist -p cellway --bench proxy -- --tenants

# Run each fuzz target for this many seconds, or only the named one: just fuzz 300 token
fuzz SECONDS="60" TARGET="":
    tests/fuzz/run {{SECONDS}} {{TARGET}}

# Which of our wrong changes the simulator notices (docs/mutants.md): just mutants --room envelope
mutants *ARGS:
    cargo run --release -p cellway-mutants -- {{ARGS}}

# Search for so long, and keep what failed: just soak 8h
soak TIME="8h":
    cargo run --release -p cellway-sim -- explore --for {{TIME}}

# Review changed snapshots
review:
    cargo insta review
