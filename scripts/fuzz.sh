#!/usr/bin/env bash
# Fuzzes what untrusted clients can send, for ZHIYIN_FUZZ_SECONDS (10) a target, on the stable compiler: coverage comes from LLVM's
# own pass, the engine is libFuzzer. `scripts/fuzz.sh TARGET SECONDS` runs one target for longer.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_tools
need_package c++ build-essential

seconds="${2:-${ZHIYIN_FUZZ_SECONDS:-10}}"
target="${CARGO_TARGET_DIR:-target}"

# Only the crates of the project are instrumented; what they depend on is shared with the tests. Checks for overflow are on, as in them.
RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/instrumented-rustc.sh" cargo build --quiet --package zhiyin-fuzz
for name in ${1:-events filters}; do
    corpus="$target/fuzz/corpus/$name"
    mkdir -p "$corpus"
    log="$target/fuzz/$name.log"
    "$target/debug/$name" -max_total_time="$seconds" -max_len=2048 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="$target/fuzz/$name-" "$corpus" "fuzz/seeds/$name" > "$log" 2>&1 || {
        cat "$log" >&2
        fail "fuzzing $name found a failure; the input is in $target/fuzz/$name-*"
    }
    printf '%s: %s inputs in %s s, no failure\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$seconds"
done
