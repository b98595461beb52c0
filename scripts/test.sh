#!/usr/bin/env bash
# Runs tests and leaves the closing lines to go test itself; needs `make build`.
#   test.sh unit   hermetic tests: with the race detector where the package does
#                  not link k8s.io/kubernetes (it would cost a second, slower build
#                  of it), without it elsewhere
#   test.sh conformance  a part of upstream's conformance tests that touches every
#                  SIG, on the sandbox driver; needs Linux and root
#   test.sh e2e    real clusters under VMs, and on Linux as root what no VM is needed
#                  for on sandboxes. RUN narrows it as go test -run does,
#                  SKIFF_E2E_DRIVER=lima|sandbox runs all of it on one driver
#   test.sh cgroup2  a cluster of sandboxes within a virtual machine, whose kernel has
#                  cgroups of the second version alone
set -euo pipefail
cd "$(dirname "$0")/.."
export GOFLAGS=${GOFLAGS:--trimpath}

unit() {
  local light heavy failed=0
  light=$(scripts/packages.sh light)
  heavy=$(scripts/packages.sh heavy)
  # shellcheck disable=SC2086 # one word per package
  if [ -n "$light" ]; then CGO_ENABLED=1 go test -race $light || failed=1; fi
  # shellcheck disable=SC2086
  if [ -n "$heavy" ]; then CGO_ENABLED=0 go test $heavy || failed=1; fi
  return "$failed"
}

# What is about the cluster and not about its machines: on sandboxes seconds, under
# emulation four minutes.
anywhere='TestEndToEnd/^(Ports|RotateSecrets|Renewal|TwoYears|Run|ControlPlanes)$'
# Policies are on both: the host's kernel may have another way for them than the image's.
both='TestEndToEnd/^Workloads$/^NetworkPolicy$'

e2e() {
  test/prepare.sh
  if [ -n "${RUN:-}${SKIFF_E2E_DRIVER:-}" ] || ! sandboxes; then
    clusters -run "${RUN:-.}"
  else
    clusters -skip "$anywhere"
    SKIFF_E2E_DRIVER=sandbox clusters -run "$anywhere|$both"
  fi
  # The dashboard's actions, on sandboxes; without root it says that it is skipped.
  SKIFF_E2E=1 CGO_ENABLED=0 go test -count=1 -timeout 30m -v -run "${RUN:-OnARealCluster}" ./test/ui
}

# Two tests at once: three emulated machines share two cores, and with four tests
# the probes, DNS queries and leases of their nodes ran out of time.
clusters() {
  SKIFF_E2E=1 CGO_ENABLED=0 go test -count=1 -timeout 60m -parallel 2 -v "$@" ./test/e2e
}

cgroup2() {
  test/prepare.sh
  SKIFF_E2E_CGROUP2=1 clusters -run SandboxesOnCgroup2
}

sandboxes() { [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ]; }

conformance() {
  if ! sandboxes; then
    echo "skipped: conformance tests (nodes that are namespaces need Linux and root: sudo make conformance-core)"
    return
  fi
  make conformance-core
}

case "${1:-}" in
  unit) unit ;;
  conformance) conformance ;;
  e2e) e2e ;;
  cgroup2) cgroup2 ;;
  *)
    echo "usage: test.sh unit|conformance|e2e|cgroup2" >&2
    exit 2
    ;;
esac
