#!/usr/bin/env bash
# Builds the guests that are not Rust: `components.sh` all of them, `components.sh NAME...` these. The components
# are below guests/target/components, see component.sh.
#
# A language whose tools this machine can't have is left out: one line says what to install, and NAME.missing
# holds it for the tests. With CI set that is an error.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
out=$here/target/components

# language, WASI, sources, name
guests="
python 0.2 board/python board-python
python 0.3 board/python board-python-0.3
js     0.2 board/js     board-js
js     0.3 board/js     board-js-0.3
ts     0.2 board/ts     board-ts
c      0.2 board/c      board-c
c      0.3 board/c      board-c-0.3
go     0.2 board/go     board-go
go     0.3 board/go     board-go-0.3
python 0.3 hello/python hello-python
js     0.3 hello/js     hello-js
ts     0.2 hello/ts     hello-ts
c      0.3 hello/c      hello-c
go     0.3 hello/go     hello-go
"

build() {
  local status=0 log=$out/$4.log
  rm -f -- "$out/$4.missing"
  "$here/component.sh" "$1" "$2" "$here/$3" "$4" 2>"$log" || status=$?
  cat -- "$log" >&2
  if [[ $status == 3 ]]; then
    tail -n 1 -- "$log" >"$out/$4.missing"
    rm -f -- "$out/$4.wasm" "$out/$4.wasm.state"
    status=0
  fi
  rm -f -- "$log"
  return "$status"
}

mkdir -p -- "$out"
for name in "$@"; do
  grep -q " $name\$" <<<"$guests" || { printf 'guests: there is no component %s\n' "$name" >&2; exit 2; }
done
while read -r language wasi sources name; do
  [[ -n $language ]] || continue
  if [[ $# == 0 || " $* " == *" $name "* ]]; then
    build "$language" "$wasi" "$sources" "$name" </dev/null
  fi
done <<<"$guests"
