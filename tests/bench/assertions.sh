#!/bin/sh
# rustc for this package alone (RUSTC_WORKSPACE_WRAPPER), with debug assertions. `sandbox.py` uses it.
rustc=$1
shift
exec "$rustc" "$@" -C debug-assertions=on
