#!/usr/bin/env bash
# Runs Cellway under a benchmark harness that compares routers on the same work. The harness says
# what to do in BENCH_* variables (listed below); this script turns them into a configuration and
# serves it.
#
#   side-by-side.sh config   writes $BENCH_RUN/cellway.toml and $BENCH_RUN/registry.json
#   side-by-side.sh serve    starts the router on them, until it is killed
#
#   BENCH_WORKLOAD     W1 plain | W2, W3, W7 client certificates | W4, W5 tokens | W6 tenant from SAN
#   BENCH_OPTS         comma-separated; "mtls": mTLS to the cells
#   BENCH_LISTEN       address to serve on
#   BENCH_FIXTURES     ca.pem, server.{pem,key}, router.{pem,key}, jwks.json
#   BENCH_TENANTS      tenant<TAB>cell, one a line
#   BENCH_CELLS_PLAIN, BENCH_CELLS_TLS   cell-a=host:port,cell-b=...
#   CELLWAY            the binary; default: target/release/cellway
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
CELLWAY=${CELLWAY:-$here/target/release/cellway}

tls_to_cells() {
    case "$BENCH_WORKLOAD,$BENCH_OPTS," in W3,* | *,mtls,*) return 0 ;; *) return 1 ;; esac
}

config() {
    local fx=$BENCH_FIXTURES
    cat <<TOML
[runtime]
workers = 1

[[listener]]
name = "bench"
bind = "$BENCH_LISTEN"
policy = "bench"
TOML
    if [ "$BENCH_WORKLOAD" != W1 ]; then
        cat <<TOML
[listener.tls]
certificate = "$fx/server.pem"
key = "$fx/server.key"
client_certificate = "required"

[trust]
bundle = "$fx/ca.pem"
trust_domains = ["bench.test"]
san = ["spiffe://{trust_domain}/tenant/{tenant}"]
TOML
    fi
    case $BENCH_WORKLOAD in
        W4 | W5) cat <<TOML ;;

[[policy]]
name = "bench"
mode = "required"
any_of = ["jwt"]

[[issuer]]
name = "bench"
issuer = "https://issuer.bench.test"
audience = "cell-router"
algorithms = ["RS256", "ES256", "EdDSA"]
jwks_file = "$fx/jwks.json"
TOML
        W6) cat <<TOML ;;

[[policy]]
name = "bench"
mode = "required"
any_of = ["mtls"]
TOML
        *) cat <<TOML ;;

[[policy]]
name = "bench"
mode = "disabled"
allow_insecure = true
insecure_identity = { tenant = "t-0000000" }
TOML
    esac
    cat <<TOML

[registry]
file = "$BENCH_RUN/registry.json"

[headers]
rename = { cell = "x-cell", tenant = "x-tenant" }
TOML
    if tls_to_cells; then
        cat <<TOML

[upstream]
bundle = "$fx/ca.pem"
certificate = "$fx/router.pem"
key = "$fx/router.key"
TOML
    fi
}

registry() {
    local cells=$BENCH_CELLS_PLAIN scheme=http san=""
    if tls_to_cells; then
        cells=$BENCH_CELLS_TLS scheme=https san=',"san":"upstream.cell.test"'
    fi
    printf '{"version":1,"cells":['
    local first=1
    for cell in ${cells//,/ }; do
        [ $first = 1 ] || printf ','
        first=0
        printf '{"id":"%s","tier":"standard","region":"local","state":"active","endpoints":[{"url":"%s://%s"%s}]}' \
            "${cell%%=*}" "$scheme" "${cell#*=}" "$san"
    done
    printf '],"tenants":['
    case $BENCH_WORKLOAD in
        W4 | W5 | W6)
            awk -F'\t' '{ printf "%s{\"id\":\"%s\",\"cell\":\"%s\"}", (NR > 1 ? "," : ""), $1, $2 }' \
                "$BENCH_TENANTS"
            ;;
        *) printf '{"id":"t-0000000","cell":"cell-a"}' ;;
    esac
    printf ']}\n'
}

case ${1:-} in
    config)
        config >"$BENCH_RUN/cellway.toml"
        registry >"$BENCH_RUN/registry.json"
        ;;
    serve) exec "$CELLWAY" serve --config "$BENCH_RUN/cellway.toml" ;;
    *)
        sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
esac
