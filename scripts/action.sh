#!/usr/bin/env bash
# The steps of action.yml. Each can be run by hand.
#   action.sh key      print the cache key of Skiff and its node image
#   action.sh install  put skiff on the path: from the cache, a release or this checkout
#   action.sh up       create a cluster, or run ACTION_RUN in a temporary one
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${SKIFF_ACTION_CACHE:-$HOME/.cache/skiff-action}
releases=${SKIFF_RELEASES:-https://github.com/skiff-dev/skiff/releases/download}

key() {
  local from=${SKIFF_VERSION:-}
  if [ -z "$from" ]; then
    from=$(git rev-parse HEAD 2>/dev/null || cat go.sum Makefile cmd/*/*.go | sha256sum | cut -d' ' -f1)
  fi
  echo "key=skiff-$(uname -m)-$from${ACTION_KUBERNETES:+-$ACTION_KUBERNETES}" | tr , _ # cache keys have no commas
}

# others prints the wanted versions of Kubernetes other than the default one of a checkout.
others() {
  local standard
  standard=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' go.mod | sed 's/^v//; s/\.[0-9]*$//')
  tr , '\n' <<<"${ACTION_KUBERNETES:-}" | tr -d ' ' | grep -vxF -e '' -e "$standard" || true
}

install() {
  if [ ! -x "$cache/bin/skiff" ]; then
    mkdir -p "$cache/bin"
    if [ -n "${SKIFF_VERSION:-}" ]; then
      download "$SKIFF_VERSION"
    else
      make build
      for version in $(others); do make image KUBERNETES="$version"; done
      cp -r bin/. "$cache/bin"
    fi
  fi
  echo "$cache/bin" >>"${GITHUB_PATH:-/dev/null}"
  "$cache/bin/skiff" version
}

# download VERSION: install a release with its own install.sh, which verifies the
# signature.
download() {
  local script
  script=$(mktemp)
  curl -fsSL --retry 3 -o "$script" "$releases/$1/install.sh"
  local images
  images=$(others | paste -sd , -)
  sh "$script" --version "$1" --prefix "$cache" --from "$releases/$1" ${images:+--kubernetes "$images"}
  rm -f "$script"
}

# The sandbox driver needs root, and so does /dev/kvm on common runners.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo env "PATH=$PATH" "HOME=$HOME" "KUBECONFIG=${KUBECONFIG:-$HOME/.kube/config}" \
      "SKIFF_HOME=${SKIFF_HOME:-$HOME/.skiff}" "$@"
  fi
}

up() {
  local driver=$ACTION_DRIVER root=()
  if [ -e /dev/kvm ] && [ ! -w /dev/kvm ]; then
    as_root chmod 0666 /dev/kvm || true
  fi
  if [ "$driver" = auto ]; then
    driver=$(as_root "$cache/bin/skiff" drivers --best)
  fi
  echo "driver=$driver" >>"${GITHUB_OUTPUT:-/dev/null}"
  echo "nodes run on: $driver"
  local wanted=(--driver "$driver" --control-planes "$ACTION_CONTROL_PLANES" --workers "$ACTION_WORKERS" --memory "$ACTION_MEMORY")
  if [ -n "$ACTION_FILE" ]; then
    wanted=(--driver "$driver" -f "$ACTION_FILE")
  fi
  if [ -n "$ACTION_KUBERNETES" ]; then
    wanted+=(--kubernetes "$ACTION_KUBERNETES")
  fi
  if [ "$driver" = sandbox ]; then
    root=(as_root)
  fi
  cd "${GITHUB_WORKSPACE:-.}"
  if [ -n "$ACTION_RUN" ]; then
    "${root[@]}" "$cache/bin/skiff" run "${wanted[@]}" --logs "$ACTION_LOGS" -- bash -euo pipefail -c "$ACTION_RUN"
    return
  fi
  if ! "${root[@]}" "$cache/bin/skiff" up "${wanted[@]}"; then
    "${root[@]}" "$cache/bin/skiff" logs export "$ACTION_LOGS" || true
    "${root[@]}" "$cache/bin/skiff" down
    return 1
  fi
}

case "${1:-}" in
  key | install | up) "$1" ;;
  *)
    echo "usage: action.sh key|install|up" >&2
    exit 2
    ;;
esac
