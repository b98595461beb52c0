#!/usr/bin/env bash
# Packs what has been built for one platform as a part of a release: release.sh
# VERSION PLATFORM PROGRAM IMAGE OUT. `make release` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=${GOFLAGS:--trimpath} CGO_ENABLED=0
version=$1 platform=$2 program=$3 image=$4 out=$5

# nfpm is a program with its own pins, built once.
nfpm=$PWD/build/tools/nfpm
if [ ! -x "$nfpm" ] || [ tools/nfpm/go.mod -nt "$nfpm" ]; then
  mkdir -p build/tools
  go build -C tools/nfpm -o "$nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm
fi

# The same commit gives the same files.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
SKIFF_FILE='' go run ./cmd/skiff/internal/reference -man "$work/man" -completions "$work/completions"
go run ./release pack -version "$version" -platform "$platform" -program "$program" -image "$image" \
  -man "$work/man" -completions "$work/completions" -nfpm "$nfpm" -time "$SOURCE_DATE_EPOCH" -out "$out"
