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
#                  SKIFF_E2E_DRIVER=lima|sandbox runs everything on one driver. Tests of
#                  clusters of their own run on VMs if RUN names them
#   test.sh ingress  a third-party ingress controller, built from its module, on the
#                  sandbox driver; needs Linux and root
#   test.sh cni    a third-party pod network, built from its module, on the sandbox
#                  driver; needs Linux and root
#   test.sh arm64  a cluster with an emulated node of the other architecture, whose image
#                  must have been built, on VMs
#   test.sh versions VERSION...  the packages that link Kubernetes, with the modules of each
#                  version, a cluster of each, whose images must have been built, and an
#                  upgrade from the oldest to the newest, on the sandbox driver, which needs Linux and root, or on SKIFF_E2E_DRIVER;
#                  RUN narrows it
#   test.sh chaos-host ROUNDS  kills what runs on the host at random moments, on the sandbox
#                  driver or on SKIFF_E2E_DRIVER; SKIFF_E2E_SEED repeats a run
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
  if [ -e web/dist/index.html.gz ]; then scripts/web.sh --packages; fi
  light=$(scripts/packages.sh light)
  heavy=$(scripts/packages.sh heavy)
  # shellcheck disable=SC2086 # one word per package
  if [ -n "$light" ]; then CGO_ENABLED=1 gotest light pkgname -timeout 20m -race $light || failed=1; fi
  # shellcheck disable=SC2086
  if [ -n "$heavy" ]; then CGO_ENABLED=0 gotest heavy pkgname -timeout 20m $heavy || failed=1; fi
  # The Go package for users is a module of its own.
  (cd skiff && CGO_ENABLED=0 gotest module pkgname -timeout 5m ./...) || failed=1
  skips unit || failed=1
  return "$failed"
}

# What the driver decides runs on VMs, too: machines, their kernel, network, disks and folders.
# All other tests run on sandboxes only, in seconds instead of minutes.
vms='TestEndToEnd/^(HostFolder|Egress|Confinement|InsideNodes|Pause|UpOfRunningCluster|Failures|DownDuringUp|LogsExport|Memory|Template|Down)$|TestEndToEnd/^Workloads$/^(Service|NetworkPolicy|Claim)$'

e2e() {
  clients
  test/prepare.sh
  if [ -n "${RUN:-}${SKIFF_E2E_DRIVER:-}" ] || ! sandboxes; then
    clusters all -run "${RUN:-.}"
  else
    clusters vms -run "$vms"
    SKIFF_E2E_DRIVER=sandbox clusters sandboxes -run TestEndToEnd
  fi
  # The dashboard's actions, on sandboxes.
  SKIFF_E2E=1 CGO_ENABLED=0 gotest dashboard standard-verbose -count=1 -timeout 30m -run "${RUN:-OnARealCluster}" ./test/ui
  skips e2e
}

# clusters NAME ARGUMENTS... runs the end-to-end tests, PARALLEL at once. By default it is one,
# because three emulated machines share two cores, and with two tests requests to their API server
# ran out of time on a busy host. Tests on sandboxes mostly wait.
clusters() {
  local name=$1 parallel=1
  shift
  if [ "${SKIFF_E2E_DRIVER:-}" = sandbox ]; then parallel=5; fi
  SKIFF_E2E=1 CGO_ENABLED=0 gotest "$name" standard-verbose -count=1 -timeout "${LIMIT:-60m}" -parallel "${PARALLEL:-$parallel}" "$@" ./test/e2e
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

cni() {
  if ! sandboxes; then
    echo "skipped: the pod network (its cluster runs on sandboxes, which need Linux and root)"
    return
  fi
  test/prepare.sh
  CGO_ENABLED=0 go build -C test/kuberouter -ldflags "-s -w" -o "$PWD/build/test/kube-router" tool
  CGO_ENABLED=0 go run ./test/images -o build/test/images -cache build/test/cache -kube-router build/test/kube-router
  SKIFF_E2E_CNI=1 SKIFF_E2E_DRIVER=sandbox clusters cni -run TestPodNetwork
}

arm64() {
  test/prepare.sh
  CGO_ENABLED=0 go run ./test/images -o build/test/images -cache build/test/cache -architectures
  SKIFF_E2E_ARCHITECTURES=1 SKIFF_E2E_DRIVER=lima clusters arm64 -run TestArchitectures
}

versions() {
  local driver=${SKIFF_E2E_DRIVER:-sandbox}
  if [ "$driver" = sandbox ] && ! sandboxes; then
    echo "skipped: versions of Kubernetes (their clusters run on sandboxes, which need Linux and root)"
    return
  fi
  local version failed=0
  for version in "$@"; do
    if [ -e "versions/$version.mod" ]; then
      # shellcheck disable=SC2046 # one word per package
      CGO_ENABLED=0 gotest "heavy-$version" pkgname -timeout 20m -modfile="versions/$version.mod" -tags="$(scripts/tags.sh "$version")" \
        $(scripts/packages.sh heavy) || failed=1
    fi
  done
  [ "$failed" = 0 ] || return 1
  test/prepare.sh
  SKIFF_E2E_VERSIONS=$(IFS=,; echo "$*") SKIFF_E2E_DRIVER=$driver clusters versions -run "${RUN:-Versions}"
}

chaos_host() {
  test/prepare.sh
  export SKIFF_E2E_DRIVER=${SKIFF_E2E_DRIVER:-sandbox}
  LIMIT=6h SKIFF_E2E_HOST_FAILS=$1 clusters chaos-host -run HostFails
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
  cni) cni ;;
  arm64) arm64 ;;
  versions) shift && versions "$@" ;;
  chaos-host) chaos_host "${2:-20}" ;;
  cgroup2) cgroup2 ;;
  *)
    echo "usage: test.sh unit|conformance|release|e2e|ingress|cni|arm64|versions|chaos-host|cgroup2" >&2
    exit 2
    ;;
esac
