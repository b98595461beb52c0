#!/bin/sh
# Installs Skiff @VERSION@ without root:
#
#   install.sh [--version VERSION] [--kubernetes VERSION,...] [--arch ARCH] [--prefix DIR]
#              [--from URL|DIR]
#   install.sh --uninstall [--prefix DIR]
#
# It downloads the archive for this machine, verifies its checksum and the signature
# of the checksums with the key below, and only then touches the prefix (~/.local).
# The new version is complete before $prefix/bin/skiff refers to it. The version that
# was in use before is kept, because clusters may still run on it; older ones are
# removed.
set -eu

default_version='@VERSION@'
public_key='@PUBLIC_KEY@'

usage() {
  cat <<'EOF'
usage: install.sh [--version VERSION] [--kubernetes VERSION,...] [--arch ARCH]
                  [--prefix DIR] [--from URL|DIR]
       install.sh --uninstall [--prefix DIR]

  --version VERSION  install this version instead of the one that this script came with
  --kubernetes VERSION,...
                     also install node images of other versions of Kubernetes, if
                     the release has them; without this option, those of an earlier
                     installation are removed
  --arch ARCH        also install the node images for the other architecture (amd64 or
                     arm64), whose nodes this machine emulates; only on Linux
  --prefix DIR       install below this directory (default: ~/.local)
  --from URL|DIR     take the files of the release from here
  --uninstall        remove what this script installed; clusters are not touched
EOF
}

fail() { # fail MESSAGE
  echo "install.sh: $1" >&2
  exit 1
}

invalid() { # invalid MESSAGE
  echo "install.sh: $1" >&2
  usage >&2
  exit 2
}

have() { command -v "$1" >/dev/null 2>&1; }

main() {
  version=$default_version prefix='' from='' uninstall='' kubernetes='' arch=''
  while [ $# -gt 0 ]; do
    case $1 in
      --version | --kubernetes | --arch | --prefix | --from)
        [ $# -ge 2 ] && [ -n "$2" ] || invalid "$1 needs a value"
        option=$1 value=$2
        shift 2
        ;;
      --version=?* | --kubernetes=?* | --arch=?* | --prefix=?* | --from=?*)
        option=${1%%=*} value=${1#*=}
        shift
        ;;
      --uninstall)
        uninstall=1
        shift
        continue
        ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) invalid "unknown argument \"$1\"" ;;
    esac
    case $option in
      --version) version=${value#v} ;;
      --kubernetes) kubernetes=$value ;;
      --arch) arch=$value ;;
      --prefix) prefix=$value ;;
      --from) from=${value%/} ;;
    esac
  done
  case $version in
    '' | .* | *[!0-9A-Za-z.-]*) invalid "invalid version \"$version\": use e.g. v0.2.0" ;;
  esac
  case ,$kubernetes, in
    ,,) ;;
    *[!0-9.,]* | *,,* | *..*) invalid "invalid versions of Kubernetes \"$kubernetes\": use e.g. 1.36" ;;
  esac
  case $arch in
    '' | amd64 | arm64) ;;
    *) invalid "invalid architecture \"$arch\": use amd64 or arm64" ;;
  esac
  [ -n "$prefix" ] || prefix=${HOME:+$HOME/.local}
  [ -n "$prefix" ] || fail 'HOME is not set: choose a directory with --prefix'
  case $prefix in
    /*) ;;
    *) prefix=$PWD/$prefix ;;
  esac
  prefix=${prefix%/}
  lib=$prefix/lib/skiff
  if [ -n "$uninstall" ]; then
    uninstall
    return
  fi
  [ -n "$from" ] || from=${SKIFF_RELEASES:-https://github.com/skiff-dev/skiff/releases/download}/v$version
  platform
  base=skiff_${version}_$os_arch other=''
  if [ -n "$arch" ] && [ "$os_arch" != "linux_$arch" ]; then
    [ "${os_arch%_*}" = linux ] || fail "--arch needs Linux: a Mac only runs nodes of its own architecture"
    other=skiff_${version}_linux_$arch
  fi
  work='' new='' place=$lib/$version placed='' committed=''
  trap cleanup EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  work=$(mktemp -d "${TMPDIR:-/tmp}/skiff-install.XXXXXX")
  get
  prepare
  unpack
  switch
  report
}

# platform sets os_arch as in linux_amd64.
platform() {
  case $(uname -s) in
    Linux) os_arch=linux ;;
    Darwin) os_arch=darwin ;;
    *) fail "Skiff runs on Linux and macOS, not on $(uname -s)" ;;
  esac
  case $(uname -m) in
    x86_64 | amd64) os_arch=${os_arch}_amd64 ;;
    aarch64 | arm64) os_arch=${os_arch}_arm64 ;;
    *) fail "Skiff runs on amd64 and arm64, not on $(uname -m)" ;;
  esac
}

# get puts the verified archives into $work and their names into archives.
get() {
  have openssl || fail 'openssl is not installed; it is needed to verify the signature'
  for tool in tar gzip; do
    have "$tool" || fail "$tool is not installed; it is needed to unpack the archive"
  done
  fetch checksums.txt
  fetch checksums.txt.sig
  printf '%s\n' "$public_key" >"$work/skiff.pub"
  openssl base64 -d -A -in "$work/checksums.txt.sig" -out "$work/signature" 2>/dev/null &&
    openssl dgst -sha256 -verify "$work/skiff.pub" -signature "$work/signature" "$work/checksums.txt" >/dev/null 2>&1 ||
    fail "the signature of $from/checksums.txt is not valid; nothing was installed"
  archives=''
  for name in $base $other; do
    archives="$archives $name.tar.gz"
    for minor in $(echo "$kubernetes" | tr , ' '); do
      archives="$archives ${name}_kubernetes-$minor.tar.gz"
    done
  done
  for archive in $archives; do get_signed "$archive"; done
}

get_signed() { # get_signed NAME
  want=''
  while read -r digest file; do
    if [ "$file" = "$1" ]; then want=$digest; fi
  done <"$work/checksums.txt"
  hint=''
  case $1 in *_kubernetes-*) hint='; the default version of Kubernetes needs no --kubernetes' ;; esac
  [ -n "$want" ] || fail "$from has no $1$hint"
  fetch "$1"
  got=$(openssl dgst -sha256 -r "$work/$1")
  [ "${got%% *}" = "$want" ] || fail "$from/$1 does not have the signed checksum; nothing was installed"
}

fetch() { # fetch NAME
  case $from in
    http://* | https://*)
      if have curl; then
        curl -fsSL --retry 3 -o "$work/$1" "$from/$1" || fail "cannot download $from/$1"
      elif have wget; then
        wget -q -O "$work/$1" "$from/$1" || fail "cannot download $from/$1"
      else
        fail 'neither curl nor wget is installed; download the release and use --from DIR'
      fi
      ;;
    *) cp "$from/$1" "$work/$1" 2>/dev/null || fail "cannot read $from/$1" ;;
  esac
}

# ours succeeds for links that this script made and for names that are free.
ours() { # ours PATH
  if [ -L "$1" ]; then
    case $(readlink "$1") in
      */lib/skiff/*) return 0 ;;
    esac
    return 1
  fi
  [ ! -e "$1" ]
}

# prepare checks what can be checked before anything changes, and creates directories.
prepare() {
  [ ! -e "$lib/image" ] || fail "$prefix has a Skiff that was not installed by this script ($lib/image): remove it or use --prefix"
  for dir in bin lib/skiff share/man/man1 share/bash-completion/completions share/zsh/site-functions share/fish/vendor_completions.d; do
    mkdir -p "$prefix/$dir" 2>/dev/null && [ -w "$prefix/$dir" ] || fail "cannot write to $prefix/$dir: choose another directory with --prefix"
  done
  for file in bin/skiff share/bash-completion/completions/skiff share/zsh/site-functions/_skiff share/fish/vendor_completions.d/skiff.fish; do
    ours "$prefix/$file" || fail "$prefix/$file was not installed by this script: remove it or use --prefix"
  done
  for dir in "$lib"/.new.*; do # of installations that were killed
    if [ -d "$dir" ] && ! kill -0 "${dir##*.}" 2>/dev/null; then rm -rf "$dir"; fi
  done
}

unpack() {
  new=$lib/.new.$$
  mkdir "$new"
  for archive in $archives; do
    tar -xzf "$work/$archive" -C "$new" || fail "cannot unpack $archive in $lib"
  done
  if [ -n "$other" ]; then # of the other architecture only the node images are of use
    mv "$new/$other/lib/skiff/image" "$new/$base/lib/skiff/image/$arch"
    rm -rf "${new:?}/$other"
  fi
  "$new/$base/bin/skiff" version >"$work/output" 2>&1 || {
    cat "$work/output" >&2
    fail 'the program does not run on this machine; nothing was installed'
  }
}

# switch makes the new version the one that is used. Linking bin/skiff is the moment.
switch() {
  previous=''
  if [ -L "$prefix/bin/skiff" ]; then
    previous=$(readlink "$prefix/bin/skiff")
    previous=${previous#*/lib/skiff/}
    previous=${previous%%/*}
  fi
  if [ -e "$place" ]; then mv "$place" "$new/old"; fi
  placed=1
  mv "$new/$base" "$place"
  for file in "$place"/share/man/man1/*.1 "$place"/share/bash-completion/completions/* "$place"/share/zsh/site-functions/* "$place"/share/fish/vendor_completions.d/*; do
    file=${file#"$place"/}
    link "../../../lib/skiff/$version/$file" "$prefix/$file"
  done
  link "../lib/skiff/$version/bin/skiff" "$prefix/bin/skiff"
  committed=1
  for dir in "$lib"/*/; do
    case ${dir%/} in
      "$place" | "$lib/$previous") ;;
      *) if [ -x "${dir}bin/skiff" ]; then rm -rf "$dir"; fi ;;
    esac
  done
  prune
}

link() { # link TARGET PATH
  ln -s "$1" "$2.new.$$"
  mv -f "$2.new.$$" "$2"
}

# links runs a command for each path that may be a link of ours outside bin.
links() { # links COMMAND...
  for file in "$prefix"/share/man/man1/skiff*.1 "$prefix/share/bash-completion/completions/skiff" \
    "$prefix/share/zsh/site-functions/_skiff" "$prefix/share/fish/vendor_completions.d/skiff.fish"; do
    if [ -L "$file" ] && ours "$file"; then "$@" "$file"; fi
  done
}

# prune removes links to versions that have been removed.
prune() { links remove_dangling; }

remove_dangling() { [ -e "$1" ] || rm -f "$1"; }

cleanup() {
  status=$?
  trap - EXIT
  if [ -n "$new" ]; then
    if [ -z "$committed" ]; then
      [ -z "$placed" ] || [ -d "$new/$base" ] || rm -rf "$place"
      [ ! -d "$new/old" ] || [ -e "$place" ] || mv "$new/old" "$place"
      rm -f "$prefix/bin/skiff.new.$$"
      prune
    fi
    rm -rf "$new"
  fi
  [ -z "$work" ] || rm -rf "$work"
  exit "$status"
}

report() {
  echo "Skiff $version is installed: $prefix/bin/skiff"
  case :$PATH: in
    *":$prefix/bin:"*) ;;
    *) echo "Add it to your path: export PATH=\"$prefix/bin:\$PATH\"" ;;
  esac
  echo 'Next: "skiff drivers" shows what this machine can run, "skiff up" starts a cluster.'
}

uninstall() {
  if [ -L "$prefix/bin/skiff" ] && ours "$prefix/bin/skiff"; then
    rm -f "$prefix/bin/skiff"
  elif [ ! -d "$lib" ]; then
    fail "$prefix has no Skiff that this script installed"
  fi
  links rm -f
  for dir in "$lib"/*/ "$lib"/.new.*/; do
    if [ -x "${dir}bin/skiff" ] || [ "${dir#"$lib"/.new.}" != "$dir" ]; then rm -rf "$dir"; fi
  done
  rmdir "$lib" 2>/dev/null || true
  echo "Skiff is removed from $prefix. Clusters that still exist are in ~/.skiff."
}

# Nothing runs before the whole script has arrived.
main "$@"
