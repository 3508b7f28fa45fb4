#!/usr/bin/env bash
# Builds a guest that is not Rust: component.sh LANGUAGE WASI SOURCES NAME
#   LANGUAGE   python, js, ts, c or go
#   WASI       0.2 or 0.3
#   SOURCES    the guest's folder; its main file is main.py, main.js, main.ts, *.c, or a Go package
#   NAME       the component is guests/target/components/NAME.wasm
# Nothing is done when neither the sources nor the SDK, the WIT and the tools have changed.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
tools=$here/target/toolchains
build_timeout=600 # seconds for one component

say() { printf 'guests: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[[ $# == 4 ]] || die "usage: component.sh LANGUAGE WASI SOURCES NAME"
language=$1 wasi=$2 sources=$(cd -- "$3" && pwd) name=$4
[[ $wasi == 0.2 || $wasi == 0.3 ]] || die "there is no WASI '$wasi'; take 0.2 or 0.3"
out=$here/target/components/$name.wasm
work=$here/target/components/.work/$name
wit=$tools/wit/$wasi

case $language in
  python) sdk=$here/sdk-python ;;
  js | ts) sdk=$here/sdk-js ;;
  c) sdk=$here/sdk-c ;;
  go) sdk=$here/sdk-go ;;
  *) die "there is no language '$language'; take python, js, ts, c or go (and build.sh for Rust)" ;;
esac

# What the component is made of, in one number, which is the same wherever the repository is.
state() {
  local files=("$sdk" "$sources" "$here/world" "$here/../wit" "$here/component.sh" "$here/bindings/src" "$here/bindings/Cargo.lock")
  { printf '%s\n' "$language" "$wasi"
    "$here/toolchain.sh" versions
    find "${files[@]}" -type f ! -name '*.wasm' ! -name 'hatchery.toml' ! -path '*/__pycache__/*' ! -path '*/node_modules/*' -print0 |
      sort -z | xargs -0 sha256sum | sed "s#  $here/#  #"; } | sha256sum
}

before=$(state)
if [[ -f $out && $(cat "$out.state" 2>/dev/null) == "$before" ]]; then
  exit 0
fi
"$here/toolchain.sh" wit "$language"
say "building $name ($language, WASI $wasi)"
rm -rf -- "$work"
mkdir -p -- "$work" "$(dirname -- "$out")"

python() {
  local main=$sources/main.py
  [[ -f $main ]] || die "there is no main.py in $sources"
  (cd -- "$work" && timeout "$build_timeout" "$tools/python/bin/componentize-py" -d "$wit" -w app componentize main \
    -p "$sources" -p "$sdk" -o "$work/out.wasm") >&2
}

# The guest's modules and the SDK's in one folder, since neither engine resolves packages. Lines stay
# where they are, so that a traceback is right.
js() {
  mkdir -p -- "$work/src/hatchery"
  cp -- "$sdk"/*.js "$sdk/wasi-$wasi"/*.js "$work/src/hatchery/"
  if [[ $language == ts ]]; then
    (cd -- "$sources" && "$tools/ts/node_modules/.bin/tsc" --noEmit -p . >&2) || die "$name has type errors"
    node "$sdk/strip-types.mjs" "$tools/ts/node_modules" "$sources" "$work/src"
  else
    cp -- "$sources"/*.js "$work/src/"
  fi
  sed -i -E "s#(from|import) +(['\"])hatchery['\"]#\1 \2./hatchery/index.js\2#" "$work/src"/*.js
  local exports="lifecycle, receiver, responder, task, incomingHandler" modules=$tools/$language/node_modules
  if [[ $wasi == 0.3 ]]; then exports="lifecycle, receiver, responder, task, handler"; fi
  printf '%s\n' "import guest from './main.js';" "import { component } from './hatchery/index.js';" \
    "export const { $exports } = component(guest);" >"$work/src/entry.js"
  cd -- "$work/src"
  if [[ $wasi == 0.2 ]]; then
    timeout "$build_timeout" "$modules/.bin/componentize-js" --wit "$tools/wit/0.2-js" --world-name app \
      -o "$work/out.wasm" entry.js >&2
  else
    timeout "$build_timeout" "$modules/.bin/componentize-qjs" --wit "$tools/wit/0.3-js" --world app --js entry.js \
      --module-root . -o "$work/out.wasm" >&2
  fi
}
ts() { js; }

c() {
  "$tools/bindings/bindings" c "$wit" "$work/gen" >&2
  "$tools/c/bin/python" -m ziglang cc -target wasm32-wasi -mexec-model=reactor -Wl,-z,stack-size=1048576 -Os -Wall -Wextra -D_GNU_SOURCE \
    -Wno-unused-parameter -I "$work/gen" -I "$sdk" -o "$work/core.wasm" \
    "$sources"/*.c "$sdk"/hatchery.c "$sdk/wasi-$wasi"*.c "$work/gen/app.c" "$work/gen/app_component_type.o" >&2
  "$tools/bindings/bindings" encode "$work/core.wasm" "$work/out.wasm" >&2
}

# The generated module, with the SDK's glue and a line that imports the guest's package.
go() {
  local go=$tools/go/bin/go gen=$work/gen module pkg
  "$tools/bindings/bindings" go "$wit" "$gen" >&2
  cp -r -- "$sdk/_glue/common/." "$sdk/_glue/$wasi/." "$gen/"
  module=$(sed -n 's/^module //p' "$sources/go.mod")
  printf 'package main\n\nimport _ "%s"\n' "$module" >"$gen/guest.go"
  # The part of the bindings that is not generated comes with the crate that generates.
  pkg=$(cargo metadata --locked --format-version 1 --manifest-path "$here/bindings/Cargo.toml" 2>/dev/null |
    grep -o '"manifest_path":"[^"]*/wit-bindgen-go-[0-9][^"]*/Cargo.toml"' | head -1 | cut -d'"' -f4)
  (cd -- "$gen" && "$go" mod edit -require="$module@v0.0.0" -replace="$module=$sources" \
    -require=hatchery@v0.0.0 -replace="hatchery=$sdk" -replace="go.bytecodealliance.org/pkg=${pkg%/Cargo.toml}/src/pkg")
  overlay "${pkg%/Cargo.toml}/src/pkg"
  (cd -- "$gen" && GOPROXY=off GOTOOLCHAIN=local GOFLAGS=-mod=mod GOOS=wasip1 GOARCH=wasm GOCACHE=$tools/.go-cache \
    timeout "$build_timeout" "$go" build -overlay "$work/overlay.json" -trimpath -buildmode=c-shared -ldflags='-checklinkname=0 -w' \
    -o "$work/core.wasm" .) >&2
  "$tools/bindings/bindings" encode "$work/core.wasm" "$work/out.wasm" "$wit" >&2
}

# Go's runtime, changed for components in two ways; both are a few lines, checked to be where they belong.
# - The bindings for 0.3 must hear when there is nothing more to run (golang/go#76775).
# - While the host hands over a list or a text it calls cabi_realloc, and the component model allows no call to
#   the outside then. The collector asks for the time and for files that are ready, so it must not run there:
#   without this a guest traps once in some 100,000 requests ("cannot leave component instance").
overlay() {
  local root runtime=$1/wit/runtime/runtime.go entries="" file
  root=$("$tools/go/bin/go" env GOROOT)/src/runtime
  mkdir -p -- "$work/overlay"
  sed 's/^\treturn nil, false$/\treturn nil, idleHook != nil \&\& idleHook()/' "$root/lock_wasip1.go" >"$work/overlay/lock_wasip1.go"
  printf '%s\n' '' 'var idleHook func() bool' '' 'func wasiOnIdle(hook func() bool) { idleHook = hook }' \
    '' 'var collectorHeld bool' '' 'func wasiHoldCollector(held bool) { collectorHeld = held }' >>"$work/overlay/lock_wasip1.go"
  sed '/^func (t gcTrigger) test() bool {$/a\	if collectorHeld { return false }' "$root/mgc.go" >"$work/overlay/mgc.go"
  sed '/^func gcAssistAlloc(gp \*g) {$/a\	if collectorHeld { return }' "$root/mgcmark.go" >"$work/overlay/mgcmark.go"
  sed -e '/^func cabiRealloc(/a\	holdCollector(true); defer holdCollector(false)' "$runtime" >"$work/overlay/runtime.go"
  printf '%s\n' '' '//go:linkname holdCollector runtime.wasiHoldCollector' 'func holdCollector(held bool)' >>"$work/overlay/runtime.go"
  for file in lock_wasip1:idleHook\(\) mgc:collectorHeld mgcmark:collectorHeld runtime:defer\ holdCollector; do
    grep -q "${file#*:}" "$work/overlay/${file%%:*}.go" || die "${file%%:*}.go is not as expected; is $root another release of Go?"
  done
  for file in lock_wasip1 mgc mgcmark; do entries+="\"$root/$file.go\": \"$work/overlay/$file.go\", "; done
  printf '{"Replace": {%s"%s": "%s"}}\n' "$entries" "$runtime" "$work/overlay/runtime.go" >"$work/overlay.json"
}

"$language"
mv -- "$work/out.wasm" "$out"
printf '%s\n' "$before" >"$out.state"
