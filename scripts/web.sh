#!/usr/bin/env bash
# Builds the front end of the dashboard: fetches the npm packages of its lock file if
# that has changed, and bundles it into web/dist and its tests into build/web/tests.
# Node.js runs nothing here but npm. web.sh --packages only fetches what is missing of the
# packages, which the tests in a browser use.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=build/web
log=$dir/npm.log
mkdir -p "$dir"
lock=web/app/package-lock.json
if ! cmp -s "$lock" "$dir/fetched.json" || [ ! -e "$dir/node_modules/axe-core/axe.min.js" ]; then
  if ! command -v npm >/dev/null 2>&1; then
    echo "web: install Node.js, which comes with npm" >&2
    exit 1
  fi
  cp web/app/package.json "$lock" "$dir/"
  # --ignore-scripts: packages run no programs here.
  if ! npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    echo "web: npm failed to fetch the packages of $lock" >&2
    exit 1
  fi
  cp "$lock" "$dir/fetched.json"
fi
if [ "${1:-}" = --packages ]; then
  exit 0
fi
root=$PWD
CGO_ENABLED=0 go run -C web/build . -app "$root/web/app" -modules "$root/$dir/node_modules" -out "$root/web/dist"
CGO_ENABLED=0 go run -C web/build . -tests -app "$root/web/app" -modules "$root/$dir/node_modules" -out "$root/$dir/tests"
