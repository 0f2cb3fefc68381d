#!/usr/bin/env bash
# Stands before the compiler in scripts/fuzz.sh: has LLVM count which branches are taken, for libFuzzer.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1
