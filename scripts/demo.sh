#!/usr/bin/env bash
# Builds Zhiyin and runs its demo: loads the bundled data, trains, evaluates, serves. `--once` checks itself and exits.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

need_tools
cargo build --release --package zhiyin
exec "${CARGO_TARGET_DIR:-target}/release/zhiyin" demo "$@"
