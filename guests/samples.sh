#!/usr/bin/env bash
# Builds what others show of wasi:http, as it is in their packages: `samples.sh` all, `samples.sh rust|python` these.
# Nothing of it is in this repository: cargo and pip fetch the packages, whose releases are pinned.
#
#   sample-wstd, sample-wasip2, sample-wasip3      examples of those crates, with the Cargo.lock of each
#   sample-componentize-py{,-0.3}                  examples in componentize-py's source package, with the WIT there
#
# componentize-js, jco and wit-bindgen have none in their packages. The components are below
# guests/target/components; a machine that lacks Python leaves its samples out, as components.sh does.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
out=$here/target/components
work=$out/.work/samples
download_timeout=300 # seconds for one package
build_timeout=900    # seconds for one component

# crate, its release, the example, the component
crates="
wstd   0.6.8 http_server sample-wstd
wasip2 2.0.1 http-proxy  sample-wasip2
wasip3 0.9.0 http-proxy  sample-wasip3
"

say() { printf 'guests: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
is_made() { [[ -f $out/$1.wasm && $(cat "$out/$1.wasm.state" 2>/dev/null) == "$2" ]]; }
made() {
  mv -- "$1" "$out/$2.wasm"
  printf '%s\n' "$3" >"$out/$2.wasm.state"
}

# Where cargo has put the sources of a crate.
crate() {
  local package=$work/fetch-$1
  mkdir -p -- "$package/src"
  : >"$package/src/lib.rs"
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n[workspace]\n' "$1" "$2" \
    >"$package/Cargo.toml"
  timeout "$download_timeout" cargo metadata --format-version 1 --manifest-path "$package/Cargo.toml" 2>/dev/null |
    grep -o "\"manifest_path\":\"[^\"]*/$1-$2[^\"/]*/Cargo.toml\"" | head -1 | cut -d'"' -f4
}

rust() {
  local name version example component found sources
  while read -r name version example component; do
    if [[ -z $name ]] || is_made "$component" "$version"; then continue; fi
    say "building $component, an example of $name $version"
    found=$(crate "$name" "$version") || die "cargo can't fetch $name $version; try 'cargo info $name@$version' to see why"
    sources=$work/$name
    rm -rf -- "$sources"
    cp -r -- "${found%/Cargo.toml}" "$sources"
    # Which compiler there is, build.sh finds out.
    rm -f -- "$sources/rust-toolchain.toml"
    # wstd's is a program. Debian's libc has no start for programs, and nobody starts this one.
    (cd -- "$sources" && timeout "$build_timeout" "$here/build.sh" cargo rustc --quiet --locked --release \
      --target wasm32-wasip2 --example "$example" --target-dir "$here/target/samples" -- -Clink-arg=--no-entry) >&2
    # A library's file has `_` for `-`.
    found=$here/target/samples/wasm32-wasip2/release/examples/$example.wasm
    [[ -f $found ]] || found=$(dirname -- "$found")/${example//-/_}.wasm
    cp -- "$found" "$work/$component.wasm"
    made "$work/$component.wasm" "$component" "$version"
  done <<<"$crates"
}

python() {
  local version component world example status=0 log=$work/python.log
  version=$("$here/toolchain.sh" versions | sed -n 's/^componentize-py==//p')
  rm -f -- "$out"/sample-componentize-py*.missing
  if is_made sample-componentize-py "$version" && is_made sample-componentize-py-0.3 "$version"; then return; fi
  "$here/toolchain.sh" python 2>"$log" || status=$?
  cat -- "$log" >&2
  if [[ $status == 3 ]]; then
    tail -n 1 -- "$log" | tee "$out/sample-componentize-py.missing" >"$out/sample-componentize-py-0.3.missing"
    return
  fi
  [[ $status == 0 ]] || exit "$status"
  source_package "$version"
  while read -r component example world; do
    say "building $component, an example of componentize-py $version"
    (cd -- "$work/componentize_py-$version/examples/$example" && timeout "$build_timeout" \
      "$here/target/toolchains/python/bin/componentize-py" -d ../../wit -w "$world" componentize app -o "$work/$component.wasm") >&2
    made "$work/$component.wasm" "$component" "$version"
  done <<EXAMPLES
sample-componentize-py http wasi:http/proxy@0.2.0
sample-componentize-py-0.3 http-p3 wasi:http/service@0.3.0
EXAMPLES
}

# pip looks for a source package's metadata by its build tool, which would compile half of Rust: this one only
# says what the package's name says already.
source_package() {
  mkdir -p -- "$work/stub"
  cat >"$work/stub/maturin.py" <<STUB
import os


def prepare_metadata_for_build_wheel(folder, config_settings=None):
    name = "componentize_py-$1.dist-info"
    os.mkdir(os.path.join(folder, name))
    with open(os.path.join(folder, name, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\nName: componentize-py\nVersion: $1\n")
    return name
STUB
  PYTHONPATH=$work/stub timeout "$download_timeout" "$here/target/toolchains/python/bin/python" -m pip download --quiet \
    --no-deps --no-binary :all: --no-build-isolation --dest "$work" "componentize-py==$1" >&2 ||
    die "pip can't download the source package of componentize-py $1"
  tar -xzf "$work/componentize_py-$1.tar.gz" -C "$work"
}

mkdir -p -- "$work"
[[ $# -gt 0 ]] || set -- rust python
for language in "$@"; do
  case $language in
    rust | python) "$language" ;;
    *) say "there are no samples in '$language'; take rust or python"; exit 2 ;;
  esac
done
