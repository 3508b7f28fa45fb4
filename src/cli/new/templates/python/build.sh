# Makes build/app.wasm of main.py. The first time it gets componentize-py into .venv.
set -eu

version=0.25.1
stamp=.venv/componentize-py-$version
if [ ! -e "$stamp" ]; then
    echo "getting componentize-py $version" >&2
    rm -rf .venv
    python3 -m venv .venv || {
        echo "there is no venv in this Python; on Debian: apt-get install python3-venv" >&2
        exit 1
    }
    .venv/bin/python -m pip install --quiet "componentize-py==$version"
    touch "$stamp"
fi
mkdir -p build
# What it says of a mistake is Python's traceback; Rust's own would bury it.
RUST_BACKTRACE=0 .venv/bin/componentize-py -d wit -w app componentize main -o build/app.wasm
