# Makes build/app.wasm of main.js. The first time it gets componentize-js into node_modules.
set -eu

if [ ! -e node_modules/.bin/componentize-js ]; then
    echo "npm install" >&2
    npm install --silent --no-audit --no-fund --ignore-scripts
fi
mkdir -p build
node_modules/.bin/componentize-js --wit wit --world-name app -o build/app.wasm entry.js
