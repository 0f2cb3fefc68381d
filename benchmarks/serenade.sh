#!/usr/bin/env bash
# Compares Zhiyin with Serenade 0.3.1 (session kNN) under the same load: benchmarks/serenade.sh TRAIN TEST
# TRAIN and TEST are files of the format `sessions`, such as yoochoose-100k. Each server has the machine for itself while it is measured.
# Needs clang, libclang and cmake for Serenade's storage, and wrk. CONNECTIONS ("4 16") and SECONDS_EACH (10) can be set.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"

[ $# -eq 2 ] || fail "usage: benchmarks/serenade.sh TRAIN TEST"
train="$(realpath "$1")" test="$(realpath "$2")"
need_tools
need_package wrk wrk
need_package clang clang
[ -n "$(find /usr/lib -name 'libclang*.so*' -print -quit)" ] || fail "libclang is missing; install it (on Debian and Ubuntu: sudo apt-get install libclang-dev) and run this again"
need_package cmake cmake
work="$PWD/target/serenade"
mkdir -p "$work"

build_peer() {
    [ -x "$work/peer/target/release/serving" ] && return
    rm -rf "$work/peer" "$work/fetch"
    mkdir -p "$work/fetch/src"
    : > "$work/fetch/src/lib.rs"
    # A workspace of its own, so that ours doesn't take it in.
    printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\nserenade = "=0.3.1"\n[workspace]\n' > "$work/fetch/Cargo.toml"
    (cd "$work/fetch" && cargo fetch --quiet)
    cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/serenade-0.3.1 "$work/peer"
    # The version of console in its lock file no longer compiles.
    (cd "$work/peer" && cargo update --quiet -p console --precise 0.15.8 && cargo build --quiet --release --bin serving)
}

configure_peer() {
    cat > "$work/serenade.toml" <<TOML
[server]
host = "127.0.0.1"
port = 8724
num_workers = 2
[log]
level = "warn"
[data]
training_data_path = "$train"
[model]
m_most_recent_sessions = 500
neighborhood_size_k = 500
num_items_to_recommend = 21
max_items_in_session = 2
idf_weighting = 1
[logic]
enable_business_logic = false
example_item_id = 0
[hyperparam]
training_data_path = ""
test_data_path = ""
validation_data_path = ""
num_iterations = 1
save_records = false
out_path = ""
enable_business_logic = false
n_most_recent_sessions_range = "[100, 100]"
neighborhood_size_k_range = "[50, 50]"
last_items_in_session_range = "[1, 1]"
idf_weighting_range = "[0, 0]"
TOML
}

# Prints what a server does under load: NAME PORT PATH
measure() {
    for connections in ${CONNECTIONS:-4 16}; do
        printf '%-28s %3d connections ' "$1" "$connections"
        SESSIONS="$test" FORM="$3" wrk -t1 -c"$connections" -d"${SECONDS_EACH:-10}s" -s benchmarks/serenade.lua \
            "http://127.0.0.1:$2" | grep 'requests/s'
    done
}

# Runs a server while it is measured: READY-URL COMMAND...
start() {
    local url="$1"
    shift
    # The peer keeps its sessions in the folder that it runs in.
    (cd "$work" && exec "$@") > "$work/server.log" 2>&1 &
    server=$!
    trap 'kill "$server" 2> /dev/null || true' EXIT
    for _ in $(seq 600); do
        curl -s -o /dev/null "$url" && return
        sleep 0.1
    done
    fail "$1 did not start; see $work/server.log"
}

stop() {
    kill "$server"
    wait "$server" 2> /dev/null || true
}

build_peer
configure_peer
cargo build --quiet --release -p zhiyin
zhiyin="$PWD/target/release/zhiyin"
rm -rf "$work/data"
"$zhiyin" import --format sessions "$train" --data "$work/data"
"$zhiyin" import --format sessions "$test" --data "$work/data"
"$zhiyin" train --data "$work/data"

start http://127.0.0.1:8724/ "$work/peer/target/release/serving" "$work/serenade.toml"
measure serenade 8724 '/v1/recommend?session_id=SESSION&item_id=ITEM&user_consent=true'
stop
start http://127.0.0.1:8725/healthz "$zhiyin" serve --data "$work/data" --listen 127.0.0.1:8725 --insecure-no-auth
measure "zhiyin, session-knn only" 8725 '/v1/sessions/SESSION/recommendations?item=ITEM&limit=21&sources=session-knn&explain=none'
measure "zhiyin, all sources" 8725 '/v1/sessions/SESSION/recommendations?item=ITEM&limit=21&explain=none'
measure "zhiyin, all with reasons" 8725 '/v1/sessions/SESSION/recommendations?item=ITEM&limit=21'
stop
