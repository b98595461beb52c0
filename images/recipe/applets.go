package recipe

import "strings"

// Applets returns the busybox commands of a node, which are installed unless a
// package provides a better one. busybox's mke2fs, dpkg and the like are left out,
// because they do less than their names promise.
func Applets() []string { return strings.Fields(binApplets + sbinApplets) }

// InSbin reports whether an applet belongs in /usr/sbin, where the kernel looks for
// modprobe.
func InSbin(name string) bool {
	for _, applet := range strings.Fields(sbinApplets) {
		if applet == name {
			return true
		}
	}
	return false
}

const binApplets = `[ [[ ash awk base64 basename bc blkdiscard bunzip2 bzcat bzip2 cat chgrp chmod chown
chroot clear cmp comm cp cpio cut date dc dd df diff dirname dmesg du echo ed egrep env expand expr factor fallocate false fgrep
find fold free fsync ftpget fuser getopt grep groups gunzip gzip head hexdump hostid hostname id install ionice
ipcs ipcrm kill killall last less link ln logger logname ls lsof lspci lsscsi lzcat md5sum microcom mkdir mkfifo mknod
mktemp more mountpoint mv nc netstat nice nl nohup nproc nslookup od paste patch pgrep pidof ping ping6 pkill printf
pstree ps pwd readlink realpath renice reset resize rev rm rmdir script sed seq setpriv setsid sh sha1sum sha256sum
sha512sum shred shuf sleep sort split stat strings stty sum sync tac tail tar taskset tee telnet test time timeout
top touch tr traceroute traceroute6 true truncate ts tty uname unexpand uniq unix2dos unlink unxz unzip uptime
usleep uudecode uuencode vi w watch wc wget which who whoami xargs xxd xz xzcat yes zcat tree ttysize
`

const sbinApplets = `arp arping blockdev brctl depmod fdisk freeramdisk fsfreeze fstrim halt hwclock ifconfig
insmod losetup lsmod mkswap modinfo modprobe nameif partprobe pivot_root poweroff reboot rmmod route
swapoff swapon switch_root sysctl tunctl vconfig
`
