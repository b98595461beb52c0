#!/bin/sh
# gateway.sh OUT: builds upstream's conformance tests of the Gateway API and the images that they
# name into OUT, from Go modules.
set -eu
mkdir -p "${1:?usage: gateway.sh OUT}/bin" "$1/gateway"
out=$(cd "$1" && pwd)
bin=$out/bin w=$out/gateway
cd "$(dirname "$0")"
export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:--trimpath}"

go build -C ../.. -buildvcs=false -ldflags '-s -w' -o "$bin/" ./test/conformance/coredns ./test/conformance/oci
[ -x "$bin/kubectl" ] || go build -C suite -ldflags '-s -w' -o "$bin/" k8s.io/kubernetes/cmd/kubectl
go build -C gateway -ldflags '-s -w' -o "$bin/echo-basic" sigs.k8s.io/gateway-api/conformance/echo-basic
go test -C gateway -c -ldflags '-s -w' -o "$bin/gateway.test" .

umask 022
for program in coredns echo-basic; do
	rm -rf "${w:?}/$program"
	install -D -m 755 "$bin/$program" "$w/$program/$program"
	"$bin/oci" layer "$w/$program.tar" "$w/$program"
done
printf '%s\t%s\t%s\n' \
	registry.k8s.io/gateway-api/echo-basic:v1.5.1,registry.k8s.io/gateway-api/echo-basic:v1.6.0-dev.3 \
	'{"WorkingDir":"/","User":"65532:65532","Entrypoint":["/echo-basic"]}' echo-basic \
	registry.k8s.io/coredns/coredns:v1.12.2 \
	'{"WorkingDir":"/","Entrypoint":["/coredns"]}' coredns >"$w/images.list"
"$bin/oci" archive "$out/gateway-images.tar" "$w/images.list" "$w"
