#!/usr/bin/env bash
# build.sh OUT [VERSION]: builds the upstream test program and the programs of its images
# into OUT, for a minor version of Kubernetes other than the default one if it is given.
# Go's build cache makes a second run take seconds.
set -euo pipefail
out=${1:?usage: build.sh OUT [VERSION]}
pins=${2:-go}.mod
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")"
export CGO_ENABLED=0 GOFLAGS=${GOFLAGS:--trimpath}

version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" || $1 == "k8s.io/kubernetes" { print $NF; exit }' "suite/$pins")
IFS=. read -r major minor _ <<<"${version#v}"
x="-X k8s.io/component-base/version"
flags="-s -w $x.gitVersion=$version $x.gitMajor=$major $x.gitMinor=$minor"

# go build updates the timestamp of an up-to-date program, and images.sh would rebuild its layer.
# A program whose build id is unchanged keeps its timestamp.
programs=(agnhost nonewprivs regression-issue-74839 kubectl ginkgo sample-apiserver etcd coredns oci)
times=$(mktemp -d)
trap 'rm -rf "$times"' EXIT
for program in "${programs[@]}"; do
  if [ -x "$out/$program" ]; then
    touch -r "$out/$program" "$times/$program"
    go tool buildid "$out/$program" >"$times/$program.id"
  fi
done
go build -C suite -modfile="$pins" -ldflags "$flags" -o "$out/" k8s.io/kubernetes/test/images/{agnhost,nonewprivs,regression-issue-74839} \
  k8s.io/kubernetes/cmd/kubectl github.com/onsi/ginkgo/v2/ginkgo k8s.io/sample-apiserver
# The etcd that one test deploys is the version that our control plane embeds.
go build -C ../.. -ldflags '-s -w' -o "$out/etcd" go.etcd.io/etcd/server/v3
go build -C ../.. -buildvcs=false -ldflags '-s -w' -o "$out/" ./test/conformance/{coredns,oci}
for program in "${programs[@]}"; do
  if [ "$(go tool buildid "$out/$program")" = "$(cat "$times/$program.id" 2>/dev/null)" ]; then
    touch -r "$times/$program" "$out/$program"
  fi
done

# The names that the test program has for its images, for images.sh.
module=$(go list -C suite -modfile="$pins" -m -f '{{.Dir}}' k8s.io/kubernetes)
{
  sed -nE 's/^\tconfigs\[(\w+)\] += Config\{list\.\w+, "([^"]+)", "([^"]+)"\}$/\1 \2:\3/p' "$module/test/utils/image/manifest.go"
  grep -rhoE '(agnhost|hostpathplugin):v?[0-9.]+[0-9]' "$module/test/e2e/testing-manifests" | sort -u | sed 's/^/manifests /'
} >"$out/names.new"
cmp -s "$out/names.new" "$out/names" || mv "$out/names.new" "$out/names"

# go test -c links every time, which takes half a minute; skip it for an unchanged suite.
stamp="$version $(go version)"
if [ ! -x "$out/e2e.test" ] || [ "$(cat "$out/e2e.test.version" 2>/dev/null)" != "$stamp" ]; then
  go test -C suite -modfile="$pins" -c -ldflags "$flags" -o "$out/e2e.test" k8s.io/kubernetes/test/e2e
  echo "$stamp" >"$out/e2e.test.version"
fi
