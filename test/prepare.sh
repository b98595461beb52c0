#!/usr/bin/env bash
# Builds the tools and images of the end-to-end tests into build/test: kubectl and
# Helm in the pinned versions, and the images as OCI archives. With Go's build
# cache, a second run takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS=${GOFLAGS:--trimpath}
bin=$PWD/build/test/bin
mkdir -p "$bin"

version=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' test/tools/go.mod)
IFS=. read -r major minor _ <<<"${version#v}"
x="-X k8s.io/component-base/version"
go build -C test/tools -o "$bin/kubectl" \
  -ldflags "-s -w $x.gitVersion=$version $x.gitMajor=$major $x.gitMinor=$minor" k8s.io/kubernetes/cmd/kubectl
go build -C test/tools -o "$bin/helm" -ldflags "-s -w" helm.sh/helm/v3/cmd/helm
go run ./test/images -o build/test/images -cache build/test/cache
