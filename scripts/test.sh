#!/usr/bin/env bash
# Runs tests; needs `make build`. Every test that is skipped must be listed, with
# its reason, in test/skips/SET.txt.
#   test.sh unit   hermetic tests: with the race detector where the package does
#                  not link k8s.io/kubernetes (which would mean a second, slower
#                  build of it), without it elsewhere
#   test.sh conformance  a part of upstream's conformance tests that touches every
#                  SIG, on the sandbox driver; needs Linux and root
#   test.sh release  a snapshot release, installed and started in root directories
#                  without Go; needs Linux and root
#   test.sh e2e    real clusters on VMs and, on Linux as root, tests that need no VM
#                  on sandboxes. RUN narrows it as go test -run does;
#                  SKIFF_E2E_DRIVER=lima|sandbox runs everything on one driver
#   test.sh ingress  a third-party ingress controller, built from its module, on the
#                  sandbox driver; needs Linux and root
#   test.sh cgroup2  a cluster of sandboxes inside a VM, whose kernel has only
#                  cgroup v2
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=${GOFLAGS:--trimpath}
events=$PWD/build/test/events
rm -rf "$events"
mkdir -p "$events"

# The test runner is a program with its own pins (tools/go.mod), built once.
runner=$PWD/build/tools/gotestsum
if [ ! -x "$runner" ] || [ tools/go.mod -nt "$runner" ]; then
  mkdir -p build/tools
  CGO_ENABLED=0 go build -C tools -o "$runner" gotest.tools/gotestsum
fi

# Some tests need clients and are skipped on machines without them. Machines that are
# meant for tests install them.
clients() {
  if [ "$(uname -s)" = Linux ] && { [ "$(id -u)" = 0 ] || [ -n "${CI:-}" ]; }; then
    scripts/host-packages.sh --tests
  fi
}

# gotest NAME FORMAT ARGUMENTS... runs go test and keeps its events as NAME.
gotest() {
  local name=$1 format=$2
  shift 2
  "$runner" --format "$format" --format-hide-empty-pkg --hide-summary skipped \
    --jsonfile-timing-events "$events/$name.json" -- "$@"
}

# skips SET checks the tests that were skipped against the set's list. On CI one
# that is not listed is a failure; elsewhere a machine may lack what it needs.
skips() { CGO_ENABLED=0 go run ./test/skips "test/skips/$1.txt" "$events"/*.json || [ -z "${CI:-}" ]; }

unit() {
  local light heavy failed=0
  clients
  light=$(scripts/packages.sh light)
  heavy=$(scripts/packages.sh heavy)
  # shellcheck disable=SC2086 # one word per package
  if [ -n "$light" ]; then CGO_ENABLED=1 gotest light pkgname -timeout 20m -race $light || failed=1; fi
  # shellcheck disable=SC2086
  if [ -n "$heavy" ]; then CGO_ENABLED=0 gotest heavy pkgname -timeout 20m $heavy || failed=1; fi
  skips unit || failed=1
  return "$failed"
}

# Tests of the cluster, not of its machines: seconds on sandboxes, minutes under
# emulation.
anywhere='TestEndToEnd/^(Cloud|Metrics|Logs|Monitoring|KeptLogs|Services|LoadBalancer|Connect|ReadOnlyFolder|Ports|Build|Registry|Proxy|APIAddress|Peers|Intruder|RotateSecrets|Renewal|ExpiredCertificates|Run|ControlPlanes|Restore|HostDNS|HostPorts|CustomDNS|Web|WebEntry|Dashboard|Browser|Release|Databases|Clients|DualStack|Settings)$'
# These run on both, because the host's kernel and the image's differ, and folders
# come by bind mounts or by virtiofs.
both='TestEndToEnd/^(Workloads|Confinement|HostFolder)$/^(NetworkPolicy)?$'

e2e() {
  clients
  test/prepare.sh
  if [ -n "${RUN:-}${SKIFF_E2E_DRIVER:-}" ] || ! sandboxes; then
    clusters all -run "${RUN:-.}"
  else
    clusters vms -skip "$anywhere"
    SKIFF_E2E_DRIVER=sandbox clusters sandboxes -run "$anywhere|$both"
  fi
  # The dashboard's actions, on sandboxes.
  SKIFF_E2E=1 CGO_ENABLED=0 gotest dashboard standard-verbose -count=1 -timeout 30m -run "${RUN:-OnARealCluster}" ./test/ui
  skips e2e
}

# clusters NAME ARGUMENTS... runs the end-to-end tests, two at once: three emulated
# machines share two cores, and with four tests the probes, DNS queries and leases
# of their nodes ran out of time.
clusters() {
  local name=$1
  shift
  SKIFF_E2E=1 CGO_ENABLED=0 gotest "$name" standard-verbose -count=1 -timeout 60m -parallel 2 "$@" ./test/e2e
}

cgroup2() {
  test/prepare.sh
  SKIFF_E2E_CGROUP2=1 clusters cgroup2 -run SandboxesOnCgroup2
}

ingress() {
  if ! sandboxes; then
    echo "skipped: the ingress controller (its cluster runs on sandboxes, which need Linux and root)"
    return
  fi
  test/prepare.sh
  CGO_ENABLED=0 go build -C test/skipper -ldflags "-s -w" -o "$PWD/build/test/skipper" tool
  CGO_ENABLED=0 go run ./test/images -o build/test/images -cache build/test/cache -skipper build/test/skipper
  SKIFF_E2E_INGRESS=1 SKIFF_E2E_DRIVER=sandbox clusters ingress -run IngressController
}

sandboxes() { [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ]; }

conformance() {
  if ! sandboxes; then
    echo "skipped: conformance tests (nodes that are namespaces need Linux and root: sudo make conformance-core)"
    return
  fi
  make conformance-core
}

release() {
  if ! sandboxes; then
    echo "skipped: tests of a release (its cluster runs on sandboxes, which need Linux and root)"
    return
  fi
  local dir=$PWD/build/test/release
  rm -rf "$dir"
  make release SNAPSHOT=1 RELEASE="$dir"
  SKIFF_RELEASE=$dir CGO_ENABLED=0 gotest release standard-verbose -count=1 -timeout 15m ./test/release
  skips release
}

case "${1:-}" in
  unit) unit ;;
  conformance) conformance ;;
  release) release ;;
  e2e) e2e ;;
  ingress) ingress ;;
  cgroup2) cgroup2 ;;
  *)
    echo "usage: test.sh unit|conformance|release|e2e|ingress|cgroup2" >&2
    exit 2
    ;;
esac
