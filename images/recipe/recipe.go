// Package recipe lists what goes into a node image, independent of how the image is
// built.
package recipe

import (
	"fmt"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Image is the recipe of one architecture's image.
type Image struct {
	// Arch is Go's name of the architecture, DebianArch Debian's.
	Arch, DebianArch string
	// KernelPackage depends on the package of the current kernel.
	KernelPackage string
	// Packages provide files. The libraries that those need are added.
	Packages []Package
	// Modules are the kernel's.
	Modules Modules
	// Programs are built from Go modules, Guest comes from our own build.
	Programs []Program
	Guest    []Guest
	// Beside are programs next to the root, which the host sends to nodes on demand.
	Beside []Program
	// Init is our program that the initramfs starts.
	Init string
	// Dirs, Links (target by path) and Files (content by path) are created as listed.
	Dirs  []string
	Links map[string]string
	Files map[string]string
	// Cmdline is the kernel's command line.
	Cmdline string
}

// Package is a Debian package and the files that are copied from it.
type Package struct {
	Name string
	// Files are paths as in the package; links are followed. An entry that ends in a
	// slash includes everything below it.
	Files []string
}

// Modules are the names of kernel modules, which include their dependencies, and in
// Ship patterns of path.Match below the kernel's module directory.
type Modules struct {
	// Initramfs modules are loaded before the root is mounted: those that mounting
	// needs, and the network driver.
	Initramfs []string
	// CDROM modules are loaded by PID 1 if no disk has the node document.
	CDROM []string
	// Late modules are loaded by PID 1 once the node is on the network.
	Late []string
	// Ship modules can be loaded on demand by the kernel and by users.
	Ship []string
}

// Program is a Go module of images/programs whose tools are built.
type Program struct {
	// Module is the directory below images/programs.
	Module string
	// Tags are the build tags of the packages that the module's go.mod names as tools.
	Tags []string
	// CGo programs need a C compiler and are linked statically.
	CGo bool
	// Stamp is for programs that learn their version from the linker only.
	Stamp Stamp
	// Libraries are the Debian packages of the C libraries that a CGo program needs.
	Libraries []string
	// Dir is where the programs are installed.
	Dir string
	// Names of the programs.
	Names []string
}

// Stamp is a string variable that the linker sets to the version of a Go module,
// as the module's own release builds do.
type Stamp struct{ Module, Variable string }

// Guest is one of the project's own programs.
type Guest struct{ Name, Path string }

// PauseImage is the name of the pod sandbox's image, PauseArchive its path in the
// root.
const (
	PauseImage   = "registry.k8s.io/pause:3.10.2"
	PauseArchive = "usr/share/skiff/images/pause.tar"
)

// Crun is the path in the root of the program that starts crun for containerd.
const Crun = "usr/lib/skiff/crun"

// For returns the recipe for an architecture by Go's name.
func For(arch string) (Image, error) {
	image := Image{
		Arch: arch, DebianArch: arch,
		KernelPackage: "linux-image-cloud-" + arch,
		Packages:      packages(), Programs: programs(), Beside: beside(), Guest: guest(), Init: "skiff-init",
		Modules: modules(), Dirs: dirs(), Links: links(), Files: files(),
	}
	switch arch {
	case "amd64":
		// A busy host delivers an emulated timer late. The kernel would consider it
		// broken and stop.
		image.Cmdline = "console=ttyS0 no_timer_check " + cmdline
	case "arm64":
		image.Cmdline = "console=hvc0 console=ttyAMA0 " + cmdline
	default:
		return Image{}, fmt.Errorf("no recipe for architecture %q: use amd64 or arm64", arch)
	}
	return image, nil
}

// cmdline keeps the serial console quiet, which is slow under emulation, restarts
// the machine after a kernel crash, disables cgroup v1, and skips what a node does
// not use at boot: self-tests of ciphers, AppArmor.
const cmdline = "quiet loglevel=4 panic=10 net.ifnames=0 cgroup_no_v1=all rcupdate.rcu_expedited=1 " +
	"cryptomgr.notests apparmor=0"

// Modules whose programs print a placeholder unless they are stamped.
const (
	containerdModule = "github.com/containerd/containerd/v2"
	pluginsModule    = "github.com/containernetworking/plugins"
	nerdctlModule    = "github.com/containerd/nerdctl/v2"
	gvisorModule     = "gvisor.dev/gvisor"
)

func programs() []Program {
	return []Program{
		{
			Module: "containerd", Dir: "usr/bin",
			Stamp: Stamp{containerdModule, containerdModule + "/version.Version"},
			Tags:  []string{"netgo", "osusergo", "no_btrfs", "no_zfs", "no_devmapper"},
			Names: []string{"containerd", "containerd-shim-runc-v2", "ctr"},
		},
		{Module: "runc", Dir: "usr/bin", Tags: []string{"netgo", "osusergo", "seccomp"}, CGo: true, Libraries: []string{"libseccomp-dev"}, Names: []string{"runc"}},
		{
			Module: "cni", Dir: "opt/cni/bin", Names: []string{"bridge", "host-local", "loopback", "portmap", "ptp"},
			Stamp: Stamp{pluginsModule, pluginsModule + "/pkg/utils/buildversion.BuildVersion"},
		},
		{
			Module: "nerdctl", Dir: "usr/bin", Tags: []string{"netgo", "osusergo", "no_ipfs"}, Names: []string{"nerdctl"},
			Stamp: Stamp{nerdctlModule, nerdctlModule + "/pkg/version.Version"},
		},
	}
}

func beside() []Program {
	return []Program{
		{Module: "builder", Tags: []string{"netgo", "osusergo"}, Names: []string{manifest.Builder}},
		{
			Module: "gvisor", Tags: []string{"netgo", "osusergo"}, Names: []string{nodeconfig.ProgramRunsc, nodeconfig.ProgramRunscShim},
			Stamp: Stamp{gvisorModule, gvisorModule + "/runsc/version.version"},
		},
	}
}

func guest() []Guest {
	return []Guest{
		{"skiff-nodeagent", "usr/bin/skiff-nodeagent"},
		{"skiff-controlplane", "usr/bin/skiff-controlplane"},
		// A VM starts it from the initramfs, a sandbox from here.
		{"skiff-init", "usr/lib/skiff/skiff-init"},
	}
}
