#!/usr/bin/env bash
# Lists the packages that have tests: `packages.sh light` those that do not link
# k8s.io/kubernetes (the race detector runs over them), `packages.sh heavy` those
# that do. The end-to-end tests are neither.
set -euo pipefail
cd "$(dirname "$0")/.."

module=$(awk '$1 == "module" { print $2; exit }' go.mod)
go list -test -f '{{.ImportPath}}{{range .Deps}} {{.}}{{end}}' ./... |
  awk -v want="$1" -v module="$module" '
    $1 !~ /\.test$/ { next }
    $1 ~ "^" module "/test/e2e" { next }
    {
      kind = / k8s\.io\/kubernetes\// ? "heavy" : "light"
      sub(/\.test$/, "", $1)
      if (kind == want) print $1
    }'
