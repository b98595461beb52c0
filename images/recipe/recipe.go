// Package recipe says what goes into a node image, and nothing of how it is
// made: the same recipe always asks for the same image.
package recipe

import "fmt"

// Image is the recipe of one architecture's image.
type Image struct {
	// Arch is Go's name of the architecture, DebianArch Debian's.
	Arch, DebianArch string
	// KernelPackage depends on the package of the current kernel.
	KernelPackage string
	// Packages bring files; libraries that those need come by themselves.
	Packages []Package
	// Modules of the kernel.
	Modules Modules
	// Programs are built from Go modules, Guest comes from our own build.
	Programs []Program
	Guest    []Guest
	// Init is our program that the initramfs starts.
	Init string
	// Dirs, Links (target by path) and Files (content by path) are made as
	// they stand here.
	Dirs  []string
	Links map[string]string
	Files map[string]string
	// Cmdline is the kernel's command line.
	Cmdline string
}

// Package is a Debian package and what is taken from it.
type Package struct {
	Name string
	// Files are paths as in the package, links followed. An entry that ends
	// in a slash takes all below it.
	Files []string
}

// Modules are module names (all but Ship), which bring what they
// depend on, and patterns of path.Match below the kernel's module directory (Ship).
type Modules struct {
	// Initramfs are loaded before the root is mounted: what that takes, and
	// the network's driver.
	Initramfs []string
	// CDROM is loaded by PID 1 if the node document is on no disk.
	CDROM []string
	// Late are loaded by PID 1 when the node is on the network.
	Late []string
	// Ship are there for the kernel and people to load on demand.
	Ship []string
}

// Program is a Go module of images/programs whose tools are built.
type Program struct {
	// Module is the directory below images/programs.
	Module string
	// Tools are the packages whose programs the module's go.mod names as tools.
	Tags []string
	// CGo programs need a C compiler and are linked statically.
	CGo bool
	// Dir is where the programs go.
	Dir string
	// Names of the programs.
	Names []string
}

// Guest is one of our own programs.
type Guest struct{ Name, Path string }

// PauseImage is the sandbox image's name, PauseArchive where it lies in the root.
const (
	PauseImage   = "registry.k8s.io/pause:3.10.2"
	PauseArchive = "usr/share/skiff/images/pause.tar"
)

// For returns the recipe for an architecture by Go's name.
func For(arch string) (Image, error) {
	image := Image{
		Arch: arch, DebianArch: arch,
		KernelPackage: "linux-image-cloud-" + arch,
		Packages:      packages(), Programs: programs(), Guest: guest(), Init: "skiff-init",
		Modules: modules(), Dirs: dirs(), Links: links(), Files: files(),
	}
	switch arch {
	case "amd64":
		// A busy host delivers an emulated timer late; the kernel would take
		// that for a broken one and stop.
		image.Cmdline = "console=ttyS0 no_timer_check " + cmdline
	case "arm64":
		image.Cmdline = "console=hvc0 console=ttyAMA0 " + cmdline
	default:
		return Image{}, fmt.Errorf("no recipe for architecture %q (there is amd64 and arm64)", arch)
	}
	return image, nil
}

// cmdline: few lines on a serial console that is slow under emulation, a crash
// restarts the machine, cgroup v1 is off, and the kernel leaves out at its start
// what a node does not use: tests of its ciphers, AppArmor.
const cmdline = "quiet loglevel=4 panic=10 net.ifnames=0 cgroup_no_v1=all rcupdate.rcu_expedited=1 " +
	"cryptomgr.notests apparmor=0"

func programs() []Program {
	return []Program{
		{
			Module: "containerd", Dir: "usr/bin",
			Tags:  []string{"netgo", "osusergo", "no_btrfs", "no_zfs", "no_devmapper"},
			Names: []string{"containerd", "containerd-shim-runc-v2", "ctr"},
		},
		{Module: "runc", Dir: "usr/bin", Tags: []string{"netgo", "osusergo", "seccomp"}, CGo: true, Names: []string{"runc"}},
		{Module: "cni", Dir: "opt/cni/bin", Names: []string{"bridge", "host-local", "loopback", "portmap", "ptp"}},
		{Module: "nerdctl", Dir: "usr/bin", Tags: []string{"netgo", "osusergo", "no_ipfs"}, Names: []string{"nerdctl"}},
	}
}

func guest() []Guest {
	return []Guest{
		{"skiff-nodeagent", "usr/bin/skiff-nodeagent"},
		{"skiff-controlplane", "usr/bin/skiff-controlplane"},
		// A machine starts it from the initramfs, a sandbox from here.
		{"skiff-init", "usr/lib/skiff/skiff-init"},
	}
}
