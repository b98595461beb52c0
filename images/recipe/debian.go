package recipe

// packages contain the programs that kubelet, kube-proxy, containerd and users of a
// shell call. busybox is static because the kernel runs its modprobe, and a dynamic
// linker would double the time of that.
func packages() []Package {
	return []Package{
		{"busybox-static", []string{"bin/busybox"}},
		{"libc6", []string{"usr/lib/*/libnss_dns.so.2", "usr/lib/*/libnss_files.so.2"}},
		{"mount", []string{"bin/mount", "bin/umount", "sbin/losetup"}},
		{"util-linux", []string{"sbin/blkid", "bin/findmnt", "usr/bin/nsenter", "usr/bin/unshare"}},
		{"e2fsprogs", []string{
			"sbin/mke2fs", "sbin/mkfs.ext4", "sbin/e2fsck", "sbin/fsck.ext4", "sbin/resize2fs", "sbin/tune2fs",
			"sbin/dumpe2fs", "etc/mke2fs.conf",
		}},
		{"nftables", []string{"usr/sbin/nft"}},
		{"crun", []string{"usr/bin/crun"}},
		// Without protocol names nft prints "6" where the service proxy wrote "tcp".
		// A restarted proxy would not recognise its own rules and delete them.
		{"netbase", []string{"etc/protocols"}},
		{"iproute2", []string{"bin/ip", "bin/ss", "sbin/bridge", "sbin/tc"}},
		{"ca-certificates", []string{"usr/share/ca-certificates/mozilla/"}},
	}
}

// modules are for virtio machines, containers, the network of Kubernetes including
// NetworkPolicy (nfqueue), and common network plugins.
func modules() Modules {
	return Modules{
		Initramfs: []string{"virtio_pci", "virtio_blk", "erofs", "overlay", "virtio_net"},
		CDROM:     []string{"virtio_scsi", "sr_mod"},
		Late: []string{
			"virtio_rng", "virtio_balloon", "br_netfilter", "veth", "nf_tables", "nft_ct", "nft_masq", "nft_chain_nat", "nft_numgen",
			"nft_fib_ipv4", "nft_reject_ipv4", "nft_queue", "nfnetlink_queue", "nf_conntrack_netlink", "button",
			"gpio_keys", "evdev",
		},
		Ship: []string{
			"net/netfilter/*", "net/netfilter/*/*", "net/ipv4/netfilter/*", "net/ipv6/netfilter/*", "net/bridge/*",
			"net/bridge/netfilter/*", "net/sched/*", "net/ipv4/*", "net/ipv6/*", "net/8021q/*", "net/packet/*",
			"net/unix/*", "net/netlink/*", "net/sctp/*", "net/vmw_vsock/*", "net/key/*", "net/xfrm/*", "net/dns_resolver/*",
			"drivers/net/veth.ko", "drivers/net/dummy.ko", "drivers/net/tun.ko", "drivers/net/tap.ko",
			"drivers/net/macvlan.ko", "drivers/net/macvtap.ko", "drivers/net/vxlan*", "drivers/net/vxlan/*",
			"drivers/net/geneve.ko", "drivers/net/ifb.ko", "drivers/net/vrf.ko", "drivers/net/netkit.ko",
			"drivers/net/ipvlan/*", "drivers/net/wireguard/*", "drivers/net/virtio_net.ko",
			"drivers/virtio/*", "drivers/char/virtio_console.ko", "drivers/block/loop.ko", "drivers/block/nbd.ko",
			"drivers/block/zram/*", "drivers/md/dm-mod.ko", "drivers/md/dm-crypt.ko", "drivers/md/dm-thin-pool.ko",
			"drivers/md/dm-snapshot.ko", "fs/erofs/*", "fs/overlayfs/*", "fs/fuse/*", "fs/isofs/*", "fs/fat/*",
			"fs/squashfs/*", "fs/xfs/*", "fs/btrfs/*", "fs/nls/nls_*1.ko", "fs/nls/nls_utf8.ko", "fs/nls/nls_ascii.ko",
			"fs/binfmt_misc.ko", "fs/autofs/*", "fs/configfs/*", "crypto/*", "arch/*/crypto/*", "lib/*", "lib/*/*",
		},
	}
}

func dirs() []string {
	return []string{
		"dev", "proc", "sys", "run", "tmp", "var", "etc", "opt/cni/bin", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64",
		"etc/cni/net.d", "etc/containerd/certs.d", "etc/containerd/conf.d", "etc/nri/conf.d", "usr/libexec", "usr/share", "usr/src", "boot",
		"usr/lib/skiff",
	}
}

// links merge /usr and move directories that users and pods write to onto the node's
// disk.
func links() map[string]string {
	return map[string]string{
		"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64",
		"root": "var/root", "home": "var/home", "mnt": "var/mnt", "srv": "var/srv", "data": "var/data",
		"usr/local": "../var/local", "etc/mtab": "../proc/self/mounts", "etc/os-release": "../usr/lib/os-release",
		"etc/localtime": "../usr/share/zoneinfo/UTC",
	}
}
