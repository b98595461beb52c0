#!/bin/sh
# images.sh OUT: builds every image that the tests name into one OCI archive OUT/images.tar,
# from OUT/bin (build.sh) and Debian packages (apt-get download, unpacked, never installed).
# It is one archive because images share most layers: each is packed, sent and unpacked once.
# A layer or an archive that is newer than its inputs is kept.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "${1:?usage: images.sh OUT}" && pwd)
bin=$out/bin w=$out/work
mkdir -p "$w"
e2e=registry.k8s.io/e2e-test-images
umask 022

debs() { # DIR PACKAGE...: unpacks the packages and (unless NODEPS) their dependencies
	d=$1; shift
	mkdir -p "$w/debs"
	if [ "${NODEPS:-}" ]; then printf '%s\n' "$@"; else apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
		--no-replaces --no-enhances "$@"; fi | grep -E '^[a-z0-9]' |
		grep -vxE 'perl.*|debconf.*|cdebconf|dpkg|tar|adduser|lsb-base|sysvinit-utils|init-system-helpers|install-info|passwd|login|libpam.*|libsystemd.*|sensible-utils|ucf|.*:i386|mount|base-passwd' |
		LC_ALL=C sort -u >"$w/closure"
	# virtual packages have no candidate and are dropped here
	real=$(apt-cache show --no-all-versions $(cat "$w/closure") 2>/dev/null | sed -n 's/^Package: //p' | sort -u)
	miss=; for p in $real; do ls "$w/debs/${p}_"*.deb >/dev/null 2>&1 || miss="$miss $p"; done
	[ -z "$miss" ] || (cd "$w/debs" && apt-get -q download $miss >/dev/null)
	for p in $real; do
		dpkg-deb --fsys-tarfile "$w/debs/${p}_"*.deb |
			tar -C "$d" -x --keep-directory-symlink --no-same-owner \
				--exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale \
				--exclude=./usr/share/info --exclude=./usr/share/lintian --exclude=./usr/share/bash-completion
	done
}

root() { # DIR: creates an empty root with merged /usr, users and name service
	rm -rf "$1"
	mkdir -p "$1"
	(cd "$1" && mkdir -p usr/bin usr/sbin usr/lib usr/lib64 usr/local/bin etc root home var/log run tmp var/tmp dev proc sys
		ln -s usr/bin bin; ln -s usr/sbin sbin; ln -s usr/lib lib; ln -s usr/lib64 lib64; ln -s ../run var/run
		chmod 1777 tmp var/tmp; chmod 700 root
		cat >etc/passwd <<-E
		root:x:0:0:root:/root:/bin/sh
		daemon:x:1:1:daemon:/usr/sbin:/bin/false
		bin:x:2:2:bin:/bin:/bin/false
		mail:x:8:8:mail:/var/spool/mail:/bin/false
		www-data:x:33:33:www-data:/var/www:/bin/false
		nginx:x:101:101:nginx:/nonexistent:/bin/false
		nobody:x:65534:65534:nobody:/nonexistent:/bin/false
		E
		cat >etc/group <<-E
		root:x:0:
		daemon:x:1:
		bin:x:2:
		mail:x:8:
		www-data:x:33:
		nginx:x:101:
		nogroup:x:65534:
		E
		echo 'hosts: files dns' >etc/nsswitch.conf)
}

applets() { # DIR: adds busybox links for commands that no package provides
	for a in $("$1/bin/busybox" --list); do
		[ -e "$1/bin/$a" ] || [ -L "$1/bin/$a" ] || [ -e "$1/sbin/$a" ] || ln -s busybox "$1/bin/$a"
	done
}

tag() { # ID...: prints the names, without the registry, that the test program has for the first ID that it knows
	for id; do
		t=$(sed -n "s/^$id //p" "$bin/names")
		[ -z "$t" ] || { echo "$t"; return; }
	done
	echo "images.sh: the test program names no image $*" >&2
	return 1
}
tagged() { # REGISTRY ID...: prints the names of several IDs with commas between them
	r=$1 all=; shift
	for id; do for t in $(tag "$id"); do all=${all:+$all,}$r/$t; done; done
	printf '%s\n' "$all" | tr ',' '\n' | sort -u | paste -sd ,
}
layer() { "$bin/oci" layer "$w/$1.tar" "$w/$1"; }
older() { # FILE INPUT...: succeeds if FILE is missing or older than an input
	t=$1; shift
	[ -f "$t" ] || return 0
	for f; do [ "$t" -nt "$f" ] || return 0; done
	return 1
}
stale() { # LAYER INPUT...: succeeds if LAYER must be rebuilt
	t=$w/$1.tar; shift
	older "$t" "$bin/oci" "$@"
}
image() { # CONFIG NAME[,NAME] LAYER...: prints a line for oci
	case $2 in '' | */) exit 1 ;; esac # tag has reported the reason
	printf '%s\t%s\t' "$2" "$1"; shift 2; echo "$*"
}
binary() { # LAYER PATH PROGRAM: builds a layer with one program (MODE, default 755)
	stale "$1" "$bin/$3" || return 0
	rm -rf "${w:?}/$1"
	install -D -m "${MODE:-755}" "$bin/$3" "$w/$1/$2"
	layer "$1"
}

me=$here/images.sh
if stale busybox "$me"; then
	# /bin/sh is busybox's, because a test expects its messages. bash is first in the path: the sh of
	# Debian's busybox drops environment variables such as data-1, which other tests print.
	root "$w/busybox"; NODEPS=1 debs "$w/busybox" busybox-static bash-static
	applets "$w/busybox"; ln -s /bin/bash-static "$w/busybox/usr/local/bin/sh"; layer busybox
fi
if stale tools "$me"; then
	root "$w/tools"
	debs "$w/tools" busybox-static bash coreutils bind9-dnsutils curl wget netcat-openbsd iproute2 iperf libc-bin util-linux ca-certificates
	# coreutils: Debian's busybox runs its own nc for `timeout 5 nc`
	ln -sf nc.openbsd "$w/tools/bin/nc"
	ln -sf bash "$w/tools/bin/sh"
	# Debian builds busybox without wget's timeout, and its `wget -T 5` writes to a null pointer. GNU wget
	# makes 20 attempts by default; busybox and the tests expect one.
	echo tries = 1 >"$w/tools/etc/wgetrc"
	applets "$w/tools"; layer tools
fi
if stale nginx "$me"; then
	root "$w/nginx"; debs "$w/nginx" nginx busybox-static; applets "$w/nginx"
	(cd "$w/nginx" && rm -rf etc/nginx/modules-enabled && mkdir -p etc/nginx/conf.d var/log/nginx var/lib/nginx var/cache/nginx
		ln -sf /dev/stdout var/log/nginx/access.log; ln -sf /dev/stderr var/log/nginx/error.log
		cat >etc/nginx/nginx.conf <<-E
		user nginx;
		worker_processes 1;
		error_log /var/log/nginx/error.log notice;
		pid /run/nginx.pid;
		events { worker_connections 1024; }
		http {
		  include /etc/nginx/mime.types;
		  access_log /var/log/nginx/access.log;
		  server {
		    listen 80;
		    location / { root /usr/share/nginx/html; index index.html; }
		  }
		}
		E
	)
	layer nginx
fi
if stale iptables "$me"; then
	root "$w/iptables"; debs "$w/iptables" busybox-static iptables nftables conntrack
	ln -s iptables-nft "$w/iptables/sbin/iptables"; ln -s ip6tables-nft "$w/iptables/sbin/ip6tables"
	applets "$w/iptables"; layer iptables
fi
for v in old new; do # the two differ only in their page
	stale nginx-$v "$me" || continue
	d=$w/nginx-$v/usr/share/nginx/html; rm -rf "$w/nginx-$v"; mkdir -p "$d"
	printf '<!DOCTYPE html>\n<html><head><title>Welcome to nginx!</title></head><body><h1>Welcome to nginx!</h1><!-- %s --></body></html>\n' $v >"$d/index.html"
	layer nginx-$v
done
binary agnhost agnhost agnhost
binary coredns coredns coredns
binary regression-issue-74839 regression-issue-74839 regression-issue-74839
MODE=6755 binary nnp usr/local/bin/nnp nonewprivs
binary etcd usr/local/bin/etcd etcd
binary sample-apiserver sample-apiserver sample-apiserver
if stale agnhost-files "$me" "$w/tools.tar"; then
	d=$w/agnhost-files; rm -rf "$d"; mkdir -p "$d/uploads" "$d/var/registry" "$d/home/user-defined-in-image"
	ln -s agnhost "$d/agnhost-2"
	# Only this image has the users that a test looks for; other tests expect busybox to print 1000.
	mkdir "$d/etc"; cp "$w/tools/etc/passwd" "$w/tools/etc/group" "$d/etc"
	echo user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh >>"$d/etc/passwd"
	printf 'user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n' >>"$d/etc/group"
	# `agnhost porter` serves TLS with these; any self-signed pair will do
	openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
		-keyout "$d/localhost.key" -out "$d/localhost.crt" 2>/dev/null
	chmod 644 "$d/localhost.key"
	layer agnhost-files
fi
if stale agnhost-registry "$me" "$w/busybox.tar"; then
	# The contents of `agnhost fake-registry-server`, for tests of pulls with and without a secret.
	d=$w/agnhost-registry; rm -rf "$d"; mkdir -p "$d"
	image '{"Entrypoint":["/bin/sleep","86400"]}' localhost:5000/pause:testing busybox >"$w/registry.list"
	"$bin/oci" registry "$d/var/registry" "$w/registry.list" "$w"
	layer agnhost-registry
fi
for p in kitten nautilus; do
	stale $p "$me" || continue
	d=$w/$p; rm -rf "$d"; mkdir -p "$d/etc"
	printf '{\n  "image": "%s.jpg"\n}\n' $p >"$d/data.json"; echo $p >"$d/$p.jpg"
	# the image-volume test looks for upstream's base image in this file
	printf 'NAME="Skiff"\nID=skiff\nPRETTY_NAME="Skiff, in place of Alpine Linux"\n' >"$d/etc/os-release"
	layer $p
done

P='"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"'
A="$P,"'"Entrypoint":["/agnhost"],"ExposedPorts":{"80/tcp":{},"8080/tcp":{},"8081/tcp":{},"9376/tcp":{},"5000/tcp":{}}'
N="$P,"'"Cmd":["nginx","-g","daemon off;"],"StopSignal":"SIGQUIT","ExposedPorts":{"80/tcp":{}}'
agnhost=$(tagged $e2e Agnhost AgnhostPrev)
for t in $(sed -n 's/^manifests agnhost:/agnhost:/p' "$bin/names"); do
	case ,$agnhost, in *",$e2e/$t,"*) ;; *) agnhost=$agnhost,$e2e/$t ;; esac
done
plugins=$(sed -n 's|^manifests hostpathplugin:|registry.k8s.io/sig-storage/hostpathplugin:|p' "$bin/names" | paste -sd ,)
{
	image "{$P}" "$(tagged registry.k8s.io Etcd)" busybox etcd
	image "{$A,\"Cmd\":[\"pause\"]}" "$agnhost" tools agnhost coredns agnhost-files agnhost-registry
	image "{$A,\"Cmd\":[\"test-webserver\"]}" "$(tagged $e2e Kitten)" tools agnhost agnhost-files kitten
	image "{$A,\"Cmd\":[\"test-webserver\"]}" "$(tagged $e2e Nautilus)" tools agnhost agnhost-files nautilus
	image "{$P,\"Cmd\":[\"sh\"]}" "$(tagged $e2e BusyBox)" busybox
	image "{$P,\"Cmd\":[\"sh\"],\"User\":\"1234\"}" "$(tagged $e2e NonRoot)" busybox
	image "{$P,\"Cmd\":[\"nnp\"]}" "$(tagged $e2e Nonewprivs)" busybox nnp
	image "{$P,\"Cmd\":[\"bash\"]}" "$e2e/$(tag GlibcDnsTesting JessieDnsutils)" tools coredns
	image "{$N}" "$(tagged $e2e Nginx)" nginx nginx-old
	image "{$N}" "$(tagged $e2e NginxNew)" nginx nginx-new
	image "{$P,\"Entrypoint\":[\"/regression-issue-74839\"]}" "$(tagged $e2e RegressionIssue74839)" regression-issue-74839
	image "{$P,\"Cmd\":[\"sh\"]}" "$(tagged registry.k8s.io/build-image DistrolessIptables)" iptables
	# Tests of dynamic resource allocation use only the shell of this one.
	image "{$P,\"Cmd\":[\"sh\"]}" "$plugins" busybox
	image "{$P,\"Entrypoint\":[\"/sample-apiserver\"]}" "$(tagged $e2e APIServer)" busybox sample-apiserver
	# The node image has this one for the default version of Kubernetes.
	pause=$(tagged registry.k8s.io Pause)
	grep -qF "\"$pause\"" "$here/../../images/recipe/recipe.go" || image "{$P,\"Entrypoint\":[\"/bin/sleep\",\"infinity\"]}" "$pause" busybox
} >"$w/images.new"
cmp -s "$w/images.new" "$w/images.list" || mv "$w/images.new" "$w/images.list"
if older "$out/images.tar" "$w/images.list" "$bin/oci" "$w"/*.tar; then
	"$bin/oci" archive "$out/images.tar" "$w/images.list" "$w"
	cut -f 1 "$w/images.list"
fi
