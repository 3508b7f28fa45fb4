# Makes build/app.wasm, a core module, of app.go; `hatchery build` makes a component of it. GO_PKG may name a folder
# with go.bytecodealliance.org/pkg, where Go can't fetch modules.
set -eu

rm -rf build/gen
mkdir -p build
wit-bindgen go wit --world app --out-dir build/gen >/dev/null
cp -R hatchery/_glue/common/. hatchery/_glue/0.2/. build/gen/
printf 'package main\n\nimport _ "app"\n' >build/gen/guest.go
cd build/gen
go mod edit -require=app@v0.0.0 -replace=app=../.. -require=hatchery@v0.0.0 -replace=hatchery=../../hatchery
if [ -n "${GO_PKG:-}" ]; then
    go mod edit -replace="go.bytecodealliance.org/pkg=$GO_PKG"
fi
GOTOOLCHAIN=local GOFLAGS=-mod=mod GOOS=wasip1 GOARCH=wasm \
    go build -trimpath -buildmode=c-shared -ldflags=-checklinkname=0 -o ../app.wasm .
