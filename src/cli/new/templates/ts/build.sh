# Makes build/app.wasm of main.ts. The first time it gets the compilers into node_modules.
set -eu

if [ ! -e node_modules/.bin/componentize-js ] || [ ! -e node_modules/.bin/tsc ]; then
    echo "npm install" >&2
    npm install --silent --no-audit --no-fund --ignore-scripts
fi
mkdir -p build/src
node_modules/.bin/tsc -p .
rm -rf build/src/hatchery
cp -R hatchery entry.js build/src/
cd build/src
../../node_modules/.bin/componentize-js --wit ../../wit --world-name app -o ../app.wasm entry.js
