#!/usr/bin/env bash
# Counts the instructions of the hot loops under callgrind and prints a table. The counts repeat on a noisy machine; from the second run
# on the table shows the change since the run before. `scripts/bench-instructions.sh NAME` runs only the benchmarks of that name.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_tools
need_package valgrind valgrind

# The runner must be of the very version of the library.
version="$(sed -n '/^name = "gungraun"$/{n;s/^version = "\(.*\)"/\1/p}' Cargo.lock)"
tools="$PWD/target/tools"
if ! [ -x "$tools/bin/gungraun-runner" ] || ! grep -q "\"gungraun-runner $version " "$tools/.crates.toml"; then
    cargo install --quiet --locked --root "$tools" "gungraun-runner@$version" >&2
fi

export PATH="$tools/bin:$PATH" GUNGRAUN_COLOR=never
report="$(cargo bench --quiet -p zhiyin-models -p zhiyin-engine --features zhiyin-models/instruction-counts,zhiyin-engine/instruction-counts --bench instructions -- "$@")" || {
    printf '%s\n' "$report" >&2
    fail "the benchmarks did not run"
}
printf '%s\n' "$report" | awk '
    BEGIN { printf "%-26s %14s %14s %10s\n", "benchmark", "instructions", "before", "change" }
    /^instructions::/ { name = $1; sub(/.*::/, "", name) }
    $1 == "Instructions:" {
        split($2, count, "|")
        change = $3
        gsub(/[()*]/, "", change)
        if (change ~ /^No/) change = "none"
        printf "%-26s %14s %14s %10s\n", name, count[1], count[2] == "N/A" ? "-" : count[2], change == "" ? "-" : change
    }'
