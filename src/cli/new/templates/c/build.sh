# Makes build/app.wasm, a core module, of main.c; `hatchery build` makes a component of it. The first time it
# gets zig, which is a C compiler with WASI's libc, into .venv.
set -eu

version=0.17.0
stamp=.venv/ziglang-$version
if [ ! -e "$stamp" ]; then
    echo "getting ziglang $version" >&2
    rm -rf .venv
    python3 -m venv .venv || {
        echo "there is no venv in this Python; on Debian: apt-get install python3-venv" >&2
        exit 1
    }
    .venv/bin/python -m pip install --quiet "ziglang==$version"
    touch "$stamp"
fi
mkdir -p build
wit-bindgen c wit --world app --out-dir build/gen >/dev/null
.venv/bin/python -m ziglang cc -target wasm32-wasi -mexec-model=reactor -Os -Wall -I build/gen \
    -o build/app.wasm main.c build/gen/app.c build/gen/app_component_type.o
