#!/usr/bin/env bash
# Downloads the modules that a build needs. The go command fetches only as many
# at once as it may use processors, which leaves a small machine waiting for the
# network: a new one spent five of its first ten minutes so.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOMAXPROCS=32 CGO_ENABLED=0
go list -deps -test ./... >/dev/null
for module in images/programs/*/go.mod; do
  go list -C "$(dirname "$module")" -deps tool >/dev/null
done
