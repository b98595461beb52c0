#!/usr/bin/env bash
# Pins another release of Kubernetes: bump.sh RELEASE [default], as in 1.37.3. `make bump` calls
# it. The default minor version is pinned in go.mod, any other in versions/MINOR.mod, which is
# created if it is missing. With "default", the release's minor version becomes the default one.
# Whatever is generated from a release is generated again and checked. Without RELEASE, it only
# updates the files in versions/ after a change of go.mod.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=${GOFLAGS:--trimpath} CGO_ENABLED=0
guest=(./cmd/skiff-controlplane ./cmd/skiff-init ./cmd/skiff-nodeagent)
tested=(./controlplane/... ./nodeagent/...)
generated=(./controlplane/kubenames/... ./controlplane/openapi/...)

pinned() { awk '$1 == "k8s.io/kubernetes" { print $2 } $2 == "k8s.io/kubernetes" && $1 == "require" { print $3 }' "$1" | head -n 1; }
minor() { cut -d . -f 1,2 <<<"${1#v}"; }
default=$(minor "$(pinned go.mod)")

# pins RELEASE: writes the module files of the programs and of the conformance tests, and for
# the default version that of the clients of end-to-end tests.
pins() {
  local release=$1 version file suite flags=()
  version=$(minor "$release")
  file=go.mod suite=go.mod
  if [ "$version" != "$default" ]; then
    file=versions/$version.mod suite=$version.mod
    flags=(-modfile="$file" -tags="$(scripts/tags.sh "$version")")
  fi
  echo "== $file: Kubernetes $release"
  go run ./versions -to "$file" -kubernetes "$release" "${changed[@]}"
  # The program that writes the archive embeds it as well, so it must exist.
  [ -e "controlplane/openapi/documents-$version.zip" ] || : >"controlplane/openapi/documents-$version.zip"
  # Only what the guest programs need: the host program needs modules that some versions lack.
  go list -mod=mod "${flags[@]}" -test -deps "${guest[@]}" "${tested[@]}" >/dev/null
  if [ "$file" = go.mod ]; then
    go mod tidy
    echo "== test/tools/go.mod"
    go run ./versions -from test/tools/go.mod -to test/tools/go.mod -kubernetes "$release"
    go list -C test/tools -mod=mod -e -deps -tags tools ./... >/dev/null
  else
    go run ./versions/types "$version" # before minutes of compiling
  fi
  echo "== test/conformance/suite/$suite"
  go run ./versions -from test/conformance/suite/go.mod -to "test/conformance/suite/$suite" -kubernetes "$release" "${changed[@]}"
  go list -C test/conformance/suite -mod=mod -modfile="$suite" -e -deps -tags tools ./... >/dev/null
  go list -C test/conformance/suite -mod=mod -modfile="$suite" -test -deps k8s.io/kubernetes/test/e2e >/dev/null
}

# derive RELEASE: generates what depends on the release, and checks it.
derive() {
  local release=$1 version flags=()
  version=$(minor "$release")
  if [ "$version" != "$default" ]; then
    flags=(-modfile="versions/$version.mod" -tags="$(scripts/tags.sh "$version")")
  fi
  echo "== names and documents of Kubernetes $release"
  mkdir -p build/tools
  go run "${flags[@]}" ./controlplane/kubenames/generate internal/kubenames
  go build "${flags[@]}" -o build/tools/documents ./controlplane/openapi/generate
  (cd controlplane/openapi && ../../build/tools/documents)
  local module
  module=$(go mod download -json "k8s.io/kubernetes@$release" | awk -F '"' '$2 == "Dir" { print $4 }')
  go run ./test/conformance/names "$module/test/conformance/testdata/conformance.yaml" >"test/conformance/testdata/tests-$version.txt"
  echo "== checks"
  go build "${flags[@]}" -o build/tools/ "${guest[@]}"
  go test "${flags[@]}" "${generated[@]}"
}

# change_default MINOR: makes the files of the default version those of another one, which the
# new default replaces, and turns build tags around.
change_default() {
  local new=$1 module n
  for module in versions/MINOR test/conformance/suite/MINOR; do
    rm "${module/MINOR/$new}".{mod,sum}
  done
  cp go.mod "versions/$default.mod"
  cp go.sum "versions/$default.sum"
  cp test/conformance/suite/go.mod "test/conformance/suite/$default.mod"
  cp test/conformance/suite/go.sum "test/conformance/suite/$default.sum"
  sed -i "s/^const Default = .*/const Default = \"$new\"/" internal/kubenames/kubenames.go
  for ((n = ${default#*.} + 1; n <= ${new#*.}; n++)); do
    replace_tag "kubernetes_from_1_$n" "kubernetes_before_1_$n"
  done
  for ((n = ${new#*.} + 1; n <= ${default#*.}; n++)); do
    replace_tag "kubernetes_before_1_$n" "kubernetes_from_1_$n"
  done
  default=$new
}

# replace_tag FROM TO: replaces a build tag by its opposite.
replace_tag() {
  git grep -lE "^//go:build .*$1\b" -- '*.go' | xargs -r sed -i -E "1s/$1\b/!$2/g; 1s/!!//g"
}

if [ $# -gt 2 ] || [ $# -eq 2 ] && [ "$2" != default ]; then
  echo "usage: bump.sh [RELEASE [default]]" >&2
  exit 2
fi
changed=()
if [ $# -gt 0 ]; then
  release=v${1#v}
  if ! [[ $release =~ ^v1\.[0-9]+\.[0-9]+$ ]]; then
    echo "bump.sh: invalid release \"$1\": use e.g. 1.37.3" >&2
    exit 2
  fi
  if [ "${2:-}" = default ] && [ "$(minor "$release")" != "$default" ]; then
    if [ ! -e "versions/$(minor "$release").mod" ]; then
      echo "bump.sh: $(minor "$release") is not supported yet: run it without \"default\" first" >&2
      exit 2
    fi
    change_default "$(minor "$release")"
    changed=(-default-changed)
  fi
  pins "$release"
  derive "$release"
else
  release=$(pinned go.mod)
fi
# The other versions follow the pins of go.mod.
for file in versions/1.*.mod; do
  if [ -e "$file" ] && [ "$(minor "$release")" = "$default" ]; then
    pins "$(pinned "$file")"
  fi
done
make docs
go test ./versions ./internal/kubenames ./test/conformance
