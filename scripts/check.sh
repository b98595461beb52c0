#!/usr/bin/env bash
# Everything that can be checked without a machine: formatting, vet for each
# platform, lint, import directions, hermetic tests.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=${GOFLAGS:--trimpath} CGO_ENABLED=0

echo "== gofmt"
unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'gofmt would change:\n%s\n' "$unformatted" >&2
  exit 1
fi

echo "== go vet"
go vet ./...
echo "== go vet, host side on darwin/arm64"
GOOS=darwin GOARCH=arm64 go vet ./cmd/skiff/... ./vm/... ./kube/... ./tui/... ./web/...
echo "== types with other versions of Kubernetes"
for pins in versions/1.*.mod; do
  go run ./versions/types "$(basename "$pins" .mod)"
done

echo "== golangci-lint"
# The linter is a program with its own pins (tools/go.mod), built once.
linter=build/tools/golangci-lint
if [ ! -x "$linter" ] || [ tools/go.mod -nt "$linter" ]; then
  mkdir -p build/tools
  go build -C tools -o "../$linter" github.com/golangci/golangci-lint/v2/cmd/golangci-lint
fi
"$linter" run ./...

echo "== hermetic tests"
scripts/test.sh unit
