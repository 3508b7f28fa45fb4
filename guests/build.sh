#!/usr/bin/env bash
# Builds guests for wasm32-wasip2: `build.sh` all of them, `build.sh PACKAGE...` these.
# The components are below guests/target/wasm32-wasip2/release/, whichever compiler made them.
#
# The compiler is the first of these that this machine has or can get:
#   rustup   the ordinary one, with the target wasm32-wasip2
#   debian   Debian's rustc-web with the standard library built from source (-Zbuild-std), for
#            machines that can't reach rustup's servers
# GUEST_TOOLCHAIN=rustup or GUEST_TOOLCHAIN=debian takes that one or fails.
#
# `build.sh cargo ARGUMENT...` runs that compiler's cargo where it is called, for a package that is not here.
set -euo pipefail

target=wasm32-wasip2
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
called_from=$PWD
packages=(rustc-web cargo-web rust-web-src wasi-libc lld)
add_timeout=60 # seconds that `rustup target add` may take

say() { printf 'guests: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# What a calling cargo or hatchery sets is about its own build and would mislead this one.
for name in $(compgen -e); do
  case $name in
    CARGO_HOME | CARGO_HTTP_* | CARGO_NET_* | CARGO_TERM_* | CARGO_REGISTRIES_* | CARGO_REGISTRY_* | CARGO_SOURCE_*) ;;
    CARGO | CARGO_* | RUSTC | RUSTC_* | RUSTDOC | RUSTDOCFLAGS | RUSTFLAGS | RUSTUP_TOOLCHAIN | LD_LIBRARY_PATH) unset "$name" ;;
  esac
done
cd -- "$here"

# rustup's compiler, and not another one that comes first on PATH.
rustup_ready() {
  command -v rustup >/dev/null || return 1
  local dir
  dir=$(rustc --print target-libdir --target "$target" 2>/dev/null) || return 1
  # A target that was never added has a folder name too, but nothing in it.
  compgen -G "$dir/libstd-*.rlib" >/dev/null
}

rustup_add() {
  command -v rustup >/dev/null || return 1
  say "adding rustup's target $target"
  timeout "$add_timeout" rustup target add "$target" >/dev/null 2>&1 && rustup_ready
}

debian_ready() {
  [[ -x /usr/bin/cargo && -x /usr/bin/rustc && -d /usr/lib/rustlib/src/rust/library && -d /usr/lib/wasm32-wasi ]] &&
    command -v wasm-ld >/dev/null
}

debian_install() {
  command -v apt-get >/dev/null || return 1
  if [[ $(id -u) != 0 ]]; then
    say "Debian's compiler for $target is not installed; run: sudo apt-get install -y ${packages[*]}"
    return 1
  fi
  say "installing Debian's compiler: apt-get install -y ${packages[*]}"
  { apt-get install -y -q "${packages[@]}" || { apt-get update -q && apt-get install -y -q "${packages[@]}"; }; } \
    </dev/null >/dev/null || return 1
  debian_ready
}

# The linker that makes a component of the module: rustup brings it along, unless it was installed.
component_linker() {
  command -v wasm-component-ld && return
  local found home=${RUSTUP_HOME:-$HOME/.rustup}
  for found in "$home"/toolchains/*/lib/rustlib/*/bin/wasm-component-ld "${CARGO_HOME:-$HOME/.cargo}/bin/wasm-component-ld"; do
    if [[ -x $found ]]; then printf '%s\n' "$found"; return; fi
  done
  say "installing wasm-component-ld: cargo install wasm-component-ld"
  local cargo=cargo
  command -v cargo >/dev/null || cargo=/usr/bin/cargo
  (cd / && "$cargo" install --quiet --locked wasm-component-ld) >&2 || return 1
  printf '%s\n' "${CARGO_HOME:-$HOME/.cargo}/bin/wasm-component-ld"
}

# Debian's own compiler when it is there comes before another try at rustup's servers: a failed one
# takes seconds, and this script is run for every build.
choose() {
  case ${GUEST_TOOLCHAIN:-} in
    rustup)
      rustup_ready || rustup_add ||
        die "rustup can't give $target (GUEST_TOOLCHAIN=rustup); try 'rustup target add $target' to see why, or unset GUEST_TOOLCHAIN"
      toolchain=rustup ;;
    debian)
      debian_ready || debian_install ||
        die "Debian's compiler can't be had (GUEST_TOOLCHAIN=debian); it needs the packages ${packages[*]}, or unset GUEST_TOOLCHAIN"
      toolchain=debian ;;
    "")
      if rustup_ready; then toolchain=rustup
      elif debian_ready; then toolchain=debian
      elif rustup_add; then toolchain=rustup
      elif debian_install; then toolchain=debian
      else die "no compiler for $target; run 'rustup target add $target', or on Debian 'apt-get install -y ${packages[*]}'"
      fi ;;
    *) die "GUEST_TOOLCHAIN is '$GUEST_TOOLCHAIN'; it takes rustup or debian" ;;
  esac
}

choose
if [[ $toolchain == rustup ]]; then
  cargo=(cargo)
else
  linker=$(component_linker) ||
    die "no wasm-component-ld; run 'cargo install --locked wasm-component-ld' to see why"
  # Unstable options on a stable compiler: -Zbuild-std is what there is without a built std.
  export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
  export CARGO_TARGET_WASM32_WASIP2_LINKER=$linker
  # Debian's wasi-libc lacks threads and sockets: what a guest calls of them traps.
  CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS="-Clink-self-contained=no -Lnative=/usr/lib/wasm32-wasi"
  CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS+=" -Clink-arg=--wasm-ld-path=$(command -v wasm-ld)"
  CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS+=" -Clink-arg=--unresolved-symbols=ignore-all"
  export CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS
  cargo=(/usr/bin/cargo "-Zbuild-std=std,panic_abort")
fi

if [[ ${1:-} == cargo ]]; then
  cd -- "$called_from"
  exec "${cargo[@]}" "${@:2}"
fi

export CARGO_TARGET_DIR=$here/target
selected=()
for package in "$@"; do selected+=(--package "$package"); done
[[ ${#selected[@]} -gt 0 ]] || selected=(--workspace)
"${cargo[@]}" build --release --target "$target" "${selected[@]}"
