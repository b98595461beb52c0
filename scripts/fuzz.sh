#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (20s), one after the other, and lists those
# that failed.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=${GOFLAGS:--trimpath} CGO_ENABLED=0

git ls-files -co --exclude-standard '*_test.go' |
  xargs -r awk 'match($0, /^func Fuzz[A-Za-z0-9_]*/) {
    dir = FILENAME; sub(/[^\/]*$/, "", dir)
    print "./" dir, substr($0, 6, RLENGTH - 5)
  }' |
  (
    failed=()
    while read -r package target; do
      echo "== $package $target"
      go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}" -fuzzminimizetime 10x "$package" </dev/null ||
        failed+=("$package $target")
    done
    [ ${#failed[@]} = 0 ] || { printf 'failed: %s\n' "${failed[@]}" && exit 1; }
  )
