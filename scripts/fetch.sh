#!/usr/bin/env bash
# Downloads the modules that a build needs. The go command fetches as many at once
# as it may use CPUs: with two that took 73 s, with 32 it takes 18.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOMAXPROCS=32 CGO_ENABLED=0
go list -deps -test ./... >/dev/null
go list -C tools -deps gotest.tools/gotestsum >/dev/null
go list -C tools/nfpm -deps tool >/dev/null
go list -C web/build -deps . >/dev/null
for module in images/programs/*/go.mod; do
  go list -C "$(dirname "$module")" -deps tool >/dev/null
done
go list -C test/conformance/gateway -deps -test ./... >/dev/null
go list -C skiff -deps -test ./... >/dev/null
for module in test/tools test/conformance/suite; do
  go list -C "$module" -e -deps -tags tools ./... >/dev/null # -e: programs are imported to be pinned
done
