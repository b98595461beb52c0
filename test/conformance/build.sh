#!/usr/bin/env bash
# build.sh OUT: builds the upstream test program and the programs of its images
# into OUT. Go's build cache makes a second run take seconds.
set -euo pipefail
out=${1:?usage: build.sh OUT}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")"
export CGO_ENABLED=0 GOFLAGS=${GOFLAGS:--trimpath}

version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" || $1 == "k8s.io/kubernetes" { print $NF; exit }' suite/go.mod)
IFS=. read -r major minor _ <<<"${version#v}"
x="-X k8s.io/component-base/version"
flags="-s -w $x.gitVersion=$version $x.gitMajor=$major $x.gitMinor=$minor"

suite() { go build -C suite -ldflags "$flags" -o "$out/$1" "$2"; }
suite agnhost k8s.io/kubernetes/test/images/agnhost
suite nnp k8s.io/kubernetes/test/images/nonewprivs
suite kubectl k8s.io/kubernetes/cmd/kubectl
suite ginkgo github.com/onsi/ginkgo/v2/ginkgo
suite sample-apiserver k8s.io/sample-apiserver
# The etcd that one test deploys is the one that our control plane embeds.
(cd ../.. && go build -ldflags '-s -w' -o "$out/etcd" go.etcd.io/etcd/server/v3 && go build -o "$out/oci" ./test/conformance/oci)
# go test -c links anew each time: half a minute that an unchanged suite need not wait.
stamp="$version $(go version)"
if [ ! -x "$out/e2e.test" ] || [ "$(cat "$out/e2e.test.version" 2>/dev/null)" != "$stamp" ]; then
  go test -C suite -c -ldflags "$flags" -o "$out/e2e.test" k8s.io/kubernetes/test/e2e
  echo "$stamp" >"$out/e2e.test.version"
fi
