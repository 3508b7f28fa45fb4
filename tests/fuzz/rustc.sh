#!/bin/sh
# RUSTC_WRAPPER of run.sh: Hatchery's code, and what is generic and made for it, counts which of its edges ran and
# what it compared. All else is built as always, and so is not built again. No flag needs a nightly Rust.
crate=
previous=
for argument; do
    [ "$previous" = --crate-name ] && crate=$argument
    previous=$argument
done
case $crate in
hatchery | hatchery_fuzz)
    exec "$@" --cfg fuzzing -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$@"
