#!/usr/bin/env bash
# Installs the Debian packages that building and running Skiff needs on a Linux
# host and that are missing: host-packages.sh [--tests] [--nodes] [ARCH], where ARCH is
# the architecture of the node image, --tests adds the clients that only tests use, and
# --nodes what runs nodes of ARCH if that is not the host's architecture.
# Prints nothing if none is missing.
set -euo pipefail

if [ "$(uname -s)" != Linux ]; then
  exit 0
fi

case "$(uname -m)" in
  x86_64) arch=amd64 qemu_package=qemu-system-x86 qemu=qemu-system-x86_64 ;;
  aarch64) arch=arm64 qemu_package=qemu-system-arm qemu=qemu-system-aarch64 ;;
  *)
    echo "host-packages: no node image for $(uname -m): amd64 and arm64 are supported" >&2
    exit 2
    ;;
esac

tests= nodes=
if [ "${1:-}" = --tests ]; then
  tests=1
  shift
fi
if [ "${1:-}" = --nodes ]; then
  nodes=1
  shift
fi

missing=()
need() { # need PROGRAM PACKAGE
  command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}
export PATH="$PATH:/usr/sbin:/sbin"
need "$qemu" "$qemu_package"
need qemu-img qemu-utils
need mkfs.erofs erofs-utils
need ssh-keygen openssh-client # Lima requires it, although ssh is not used
need openssl openssl           # install.sh, and its tests
need curl curl
need npm npm                   # the packages of the dashboard in the browser
need gcc gcc                   # runc (libseccomp) and the race detector
need pkg-config pkg-config
if command -v gcc >/dev/null 2>&1; then
  echo '#include <stdlib.h>' | gcc -E - >/dev/null 2>&1 || missing+=(libc6-dev)
  echo '#include <seccomp.h>' | gcc -E - >/dev/null 2>&1 || missing+=(libseccomp-dev)
else
  missing+=(libc6-dev libseccomp-dev)
fi
if [ -n "$tests" ]; then
  command -v google-chrome >/dev/null 2>&1 || need chromium chromium
  need certutil libnss3-tools # where Chromium finds the authorities to trust
  need psql postgresql-client
  need redis-benchmark redis-tools
fi
case "${1:-$arch}" in
  "$arch") triplet= ;;
  amd64) triplet=x86_64-linux-gnu ;;
  arm64) triplet=aarch64-linux-gnu ;;
  *)
    echo "host-packages: no node image for $1: amd64 and arm64 are supported" >&2
    exit 2
    ;;
esac
if [ -n "$triplet" ]; then # to build for another architecture
  need "$triplet-gcc" "gcc-${triplet//_/-}"
  [ -e "/usr/$triplet/include/stdlib.h" ] || missing+=("libc6-dev-$1-cross")
  if [ -n "$nodes" ]; then
    case $1 in
      amd64) need qemu-system-x86_64 qemu-system-x86 ;;
      arm64) need qemu-system-aarch64 qemu-system-arm ;;
    esac
  fi
fi
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi

if ! command -v apt-get >/dev/null 2>&1; then
  echo "host-packages: install these packages yourself (Debian names): ${missing[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
fi
echo "host-packages: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" </dev/null >>"$log" 2>&1
}
if ! { apt update && apt install -y --no-install-recommends "${missing[@]}"; }; then
  cat "$log" >&2
  echo "host-packages: apt-get failed to install: ${missing[*]}" >&2
  exit 1
fi
