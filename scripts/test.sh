#!/usr/bin/env bash
# Runs every check of the project; the first that fails ends it. `scripts/test.sh NAME...` runs only the named steps.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Every step is a function of this name with step_ before it, in this order.
steps=(format lints models tests doctests documentation fuzz demo)

step_format() {
    cargo fmt --all --check
}

step_lints() {
    cargo clippy --workspace --all-targets --quiet -- -D warnings
}

# The models that the tests read, write and compare texts with; they stay for the next run.
step_models() {
    cargo run --quiet --package zhiyin -- llm pull minilm e5-small smollm2 ||
        echo "without a network and the weights in $ZHIYIN_MODELS the tests of real models are skipped"
}

step_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --no-fail-fast --status-level fail
    else
        cargo test --workspace --lib --bins --tests --quiet
    fi
}

step_doctests() {
    cargo test --doc --workspace --quiet
}

step_documentation() {
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --quiet
}

# A short run; scripts/fuzz.sh TARGET SECONDS takes longer ones.
step_fuzz() {
    scripts/fuzz.sh
}

# The demo on a data folder of its own: everything built in release mode, data loaded, trained, served and checked over HTTP.
step_demo() {
    local folder
    folder="$(mktemp -d)"
    scripts/demo.sh --once --data "$folder" --listen 127.0.0.1:0
    rm -rf "$folder"
}

run() {
    local name="$1" start="$SECONDS"
    printf '== %s\n' "$name"
    "step_$name"
    printf '== %s: %d s\n' "$name" "$((SECONDS - start))"
}

export ZHIYIN_MODELS="${ZHIYIN_MODELS:-${CARGO_TARGET_DIR:-$PWD/target}/models}"
need_tools
for name in "${@:-${steps[@]}}"; do
    declare -F "step_$name" >/dev/null || fail "$name is no step; the steps are ${steps[*]}"
    run "$name"
done
printf '== all steps: %d s\n' "$SECONDS"
