#!/usr/bin/env bash
# Builds the fuzzer and runs it on each target, or on the targets in $FUZZ_TARGETS, for $FUZZ_SECONDS (10). Prints one
# line per target. If a target fails, the script prints where the input is, and exits with status 1.
#
# This does what cargo-fuzz does, without installing it. Coverage needs an LLVM pass that stable Rust can name. There is
# no sanitizer, because the crate has no unsafe code.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${FUZZ_SECONDS:-10}
work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# with an explicit target, RUSTFLAGS do not apply to build scripts and procedural macros
RUSTFLAGS="-Dwarnings -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
	cargo build --locked --release --manifest-path tests/fuzz/runner/Cargo.toml --target "$host" --target-dir "$work/build"
fuzz=$work/build/$host/release/fuzz

found=0
targets=$("$fuzz" 2>/dev/null)
printf '%-18s %12s %8s %8s  %s\n' target executions corpus coverage found
for target in ${FUZZ_TARGETS:-$(cut -d' ' -f1 <<<"$targets")}; do
	most=$(sed -n "s/^$target //p" <<<"$targets")
	corpus=$work/corpus/$target seeds=$work/seeds/$target crashes=$work/crashes/$target log=$work/$target.log
	mkdir -p "$corpus" "$seeds" "$crashes"
	verdict=nothing
	# FUZZ_DICTIONARY is written before libFuzzer reads it
	FUZZ_TARGET=$target FUZZ_SEEDS=$seeds FUZZ_DICTIONARY=$work/$target.dict "$fuzz" -dict="$work/$target.dict" \
		-max_total_time="$seconds" -max_len="${most:-1}" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="$crashes/" "$corpus" "$seeds" $(find "tests/fuzz/regressions/$target" -maxdepth 0 2>/dev/null) \
		>"$log" 2>&1 || { found=1; verdict=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1); verdict=${verdict:-"see $log"}; }
	executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
	coverage=$(grep -oE 'cov: [0-9]+' "$log" | tail -1 | cut -d' ' -f2 || true)
	printf '%-18s %12s %8s %8s  %s\n' "$target" "${executions:-?}" "$(find "$corpus" -type f | wc -l)" "${coverage:-?}" "$verdict"
	[ "$verdict" = nothing ] || grep -m1 -A1 'panicked at' "$log" || true
done
[ "$found" = 0 ] || echo 'copy the input to tests/fuzz/regressions/TARGET, so that the tests run it again' >&2
exit "$found"
