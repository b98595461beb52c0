package recipe

func files() map[string]string {
	return map[string]string{
		"usr/lib/os-release":         osRelease,
		"etc/passwd":                 passwd,
		"etc/group":                  group,
		"etc/nsswitch.conf":          "passwd: files\ngroup: files\nhosts: files dns\n",
		"etc/hosts":                  "127.0.0.1 localhost\n",
		"etc/shells":                 "/bin/sh\n",
		"etc/profile":                profile,
		"etc/containerd/config.toml": containerd,
		"etc/nerdctl/nerdctl.toml":   nerdctl,
		"usr/share/zoneinfo/UTC":     utc,
	}
}

const osRelease = `NAME=Skiff
ID=skiff
ID_LIKE=debian
PRETTY_NAME="Skiff node"
HOME_URL=https://github.com/skiff-dev/skiff
`

const passwd = `root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
`

const group = `root:x:0:
tty:x:5:
nogroup:x:65534:
`

const profile = `export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PS1='\h:\w# '
alias ll='ls -la'
`

// utc is the zoneinfo file of a node's only time zone (RFC 8536, version 1).
const utc = "TZif\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x04" +
	"\x00\x00\x00\x00\x00\x00UTC\x00"

// containerd is the configuration of the pinned version. The pause image is part of
// the root and never pulled. Plugins that are not needed are disabled, which
// shortens the start. restrict_oom_score_adj is for hosts where containerd may not
// lower its own score and so its containers may not either.
const containerd = `version = 4
root = '/var/lib/containerd'
state = '/run/containerd'
imports = ['/etc/containerd/conf.d/*.toml']
disabled_plugins = [
  'io.containerd.differ.v1.erofs',
  'io.containerd.image-verifier.v1.bindir',
  'io.containerd.internal.v1.tracing',
  'io.containerd.mount-handler.v1.erofs',
  'io.containerd.snapshotter.v1.blockfile',
  'io.containerd.snapshotter.v1.erofs',
  'io.containerd.tracing.processor.v1.otlp',
]

[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '` + PauseImage + `'
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '/etc/containerd/certs.d'

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/opt/cni/bin']
    conf_dir = '/etc/cni/net.d'
    use_internal_loopback = true

[plugins.'io.containerd.nri.v1.nri']
  disable = false
`

// nerdctl shows the containers of Kubernetes and keeps its own networks separate from
// the pods'.
const nerdctl = `address = "/run/containerd/containerd.sock"
namespace = "k8s.io"
cni_path = "/opt/cni/bin"
cni_netconfpath = "/var/lib/nerdctl/cni"
data_root = "/var/lib/nerdctl"
cgroup_manager = "cgroupfs"
`
