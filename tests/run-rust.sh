#!/usr/bin/env bash
# Runs the Rust tests. A target with a failed test is run once more at the end, one test after the other: its nodes, engines
# and clients share the machine's cores, and one of them may be late. Both results are printed, and the last lines name each
# target that has failed.
#
# usage: run-rust.sh LOG [CARGO TEST OPTION...]
set -euo pipefail
log=$1
shift
mkdir -p "$(dirname "$log")"
if cargo test --locked --quiet --no-fail-fast "$@" </dev/null 2>&1 | tee "$log"; then exit 0; fi
# cargo names the failed targets in its last lines: `--lib`, or `--test cluster`
mapfile -t failed < <(sed -n 's/^    `\(--[a-z]*\( [a-z_-]*\)\?\)`$/\1/p' "$log")
if [ "${#failed[@]}" = 0 ]; then exit 1; fi
echo "==> once more: ${failed[*]}"
for target in "${failed[@]}"; do
    # shellcheck disable=SC2086 # two words
    cargo test --locked --quiet $target -- --test-threads 1 </dev/null || { echo "==> FAILED twice: $target"; exit 1; }
done
echo "==> FAILED once, and passed when they ran again: ${failed[*]}"
