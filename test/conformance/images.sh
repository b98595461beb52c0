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
for v in 1.15-4 1.27-0; do # the two differ only in their page
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
# registry.k8s.io/pause is part of the node image.
{
	image "{$P}" registry.k8s.io/etcd:3.6.8-0 busybox etcd
	image "{$A,\"Cmd\":[\"pause\"]}" $e2e/agnhost:2.63.0,$e2e/agnhost:2.55 tools agnhost coredns agnhost-files agnhost-registry
	image "{$A,\"Cmd\":[\"test-webserver\"]}" $e2e/kitten:1.8 tools agnhost agnhost-files kitten
	image "{$A,\"Cmd\":[\"test-webserver\"]}" $e2e/nautilus:1.8 tools agnhost agnhost-files nautilus
	image "{$P,\"Cmd\":[\"sh\"]}" $e2e/busybox:1.37.0-1 busybox
	image "{$P,\"Cmd\":[\"sh\"],\"User\":\"1234\"}" $e2e/nonroot:1.5 busybox
	image "{$P,\"Cmd\":[\"nnp\"]}" $e2e/nonewprivs:1.4 busybox nnp
	image "{$P,\"Cmd\":[\"bash\"]}" $e2e/glibc-dns-testing:2.0.0 tools coredns
	image "{$N}" $e2e/nginx:1.15-4 nginx nginx-1.15-4
	image "{$N}" $e2e/nginx:1.27-0 nginx nginx-1.27-0
	image "{$P,\"Entrypoint\":[\"/regression-issue-74839\"]}" $e2e/regression-issue-74839:1.4 regression-issue-74839
	image "{$P,\"Cmd\":[\"sh\"]}" registry.k8s.io/build-image/distroless-iptables:v0.9.6 iptables
	# Tests of dynamic resource allocation use only the shell of this one.
	image "{$P,\"Cmd\":[\"sh\"]}" registry.k8s.io/sig-storage/hostpathplugin:v1.17.1 busybox
	image "{$P,\"Entrypoint\":[\"/sample-apiserver\"]}" $e2e/sample-apiserver:1.29.2 busybox sample-apiserver
} >"$w/images.new"
cmp -s "$w/images.new" "$w/images.list" || mv "$w/images.new" "$w/images.list"
if older "$out/images.tar" "$w/images.list" "$bin/oci" "$w"/*.tar; then
	"$bin/oci" archive "$out/images.tar" "$w/images.list" "$w"
	cut -f 1 "$w/images.list"
fi
