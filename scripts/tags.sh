#!/usr/bin/env bash
# tags.sh VERSION: prints the build tags for a minor version of Kubernetes, separated by commas.
# The default one has none. An older one has kubernetes_before_1_N for each N up to the default,
# a newer one kubernetes_from_1_N for each N above it. So what differs since 1.37 is in a pair of
# files, with kubernetes_before_1_37 and its opposite, or kubernetes_from_1_37 and its opposite
# while the default is older than 1.37. A change of the default replaces one by the other.
set -euo pipefail
cd "$(dirname "$0")/.."
default=$(awk '$1 == "k8s.io/kubernetes" { split($2, part, "."); print part[2]; exit }' go.mod)
minor=${1#*.}
tags=
for ((n = minor + 1; n <= default; n++)); do tags+=",kubernetes_before_1_$n"; done
for ((n = default + 1; n <= minor; n++)); do tags+=",kubernetes_from_1_$n"; done
echo "${tags#,}"
