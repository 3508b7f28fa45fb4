#!/usr/bin/env bash
# Lets libFuzzer change the inputs of a target (or of all) for so many seconds each: run.sh [TARGET|all] [SECONDS]
#
# What it finds on the way is kept in target/fuzz/corpus, for the next time. An input that makes a target fail lies in
# target/fuzz/found: mend the decoder, and put it into tests/fuzz/corpus/TARGET, where `cargo test` runs it ever after.
# FUZZ_FLAGS are further flags of libFuzzer. What a grown corpus has that the committed one has not goes into it by
#   target/debug/TARGET -set_cover_merge=1 -use_counters=0 tests/fuzz/corpus/TARGET target/fuzz/corpus/TARGET
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
target=${1:-all} seconds=${2:-60}
fuzz=tests/fuzz

# The longest input, in bytes; what one may take, in seconds and MiB.
bounds=(-max_len=16384 -timeout=10 -rss_limit_mb=1024)

if [[ -z ${CUSTOM_LIBFUZZER_PATH:-} ]] && ! command -v "${CXX:-c++}" >/dev/null; then
    echo "error: libFuzzer is built with a C++ compiler, and there is no ${CXX:-c++}: install one" \
        "(Debian: apt-get install g++), or name a built libFuzzer in CUSTOM_LIBFUZZER_PATH" >&2
    exit 1
fi
if [[ $target == all ]]; then
    targets=()
    for file in "$fuzz"/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
elif [[ -f $fuzz/fuzz_targets/$target.rs ]]; then
    targets=("$target")
else
    echo "error: there is no target $target: see $fuzz/fuzz_targets" >&2
    exit 1
fi

# One list of versions: Hatchery's, and what libfuzzer-sys adds.
cp Cargo.lock "$fuzz/Cargo.lock"
RUSTC_WRAPPER=$PWD/$fuzz/rustc.sh \
    cargo build --manifest-path "$fuzz/Cargo.toml" --target-dir target "${targets[@]/#/--bin=}"

status=0
for name in "${targets[@]}"; do
    corpus=target/fuzz/corpus/$name found=target/fuzz/found/$name log=target/fuzz/$name.log
    mkdir -p "$corpus" "$found" "$fuzz/corpus/$name"
    # shellcheck disable=SC2086 # FUZZ_FLAGS are words
    if "target/debug/$name" "${bounds[@]}" -max_total_time="$seconds" -artifact_prefix="$found/" ${FUZZ_FLAGS:-} \
        "$corpus" "$fuzz/corpus/$name" >"$log" 2>&1; then
        echo "$name: $(grep DONE "$log" || tail -n 1 "$log")"
    else
        tail -n 40 "$log" >&2
        echo "error: $name failed; what was changed last is in $found, all that it said in $log" >&2
        status=1
    fi
done
exit $status
