#!/usr/bin/env bash
# Draws the pictures of both dashboards in docs/images, from a cluster of sandboxes that it
# starts and deletes; needs Linux and root.
set -euo pipefail
cd "$(dirname "$0")/.."
test/prepare.sh
SKIFF_HOME=$(mktemp -d)
export SKIFF_HOME KUBECONFIG=$SKIFF_HOME/kubeconfig
finish() {
  bin/skiff down dev >/dev/null
  rm -rf "$SKIFF_HOME"
}
trap finish EXIT
bin/skiff up dev --driver sandbox --workers 2
bin/skiff image load build/test/images/workload.tar -c dev
build/test/bin/kubectl apply -f test/ui/testdata/shop.yaml >/dev/null
sleep "${SETTLE:-240}" # until graphs have values
go run ./test/ui/pictures -cluster dev
go run ./test/dashboard/pictures -cluster dev
if [ -n "${SKIFF_PICTURES:-}" ]; then # further screens to look at: ROUTES, on a large screen and on a telephone
  for size in "light 1600" "dark 360"; do
    read -r theme width <<<"$size"
    mkdir -p "$SKIFF_PICTURES/$theme-$width"
    go run ./test/dashboard/pictures -cluster dev -theme "$theme" -width "$width" -out "$SKIFF_PICTURES/$theme-$width" -more "${ROUTES:-}"
  done
fi
