package nodeconfig

import "path"

// Runtime is a container runtime that pods can choose beside runc.
type Runtime struct {
	// Name is its name in skiff.yaml and that of its RuntimeClass.
	Name string
	// Handler is its name in containerd's configuration.
	Handler string
	// Programs are those that the node image's root lacks: the host sends them to a node
	// that needs them.
	Programs []string
}

// The programs of gVisor.
const (
	ProgramRunsc     = "runsc"
	ProgramRunscShim = "containerd-shim-runsc-v1"
)

// RuntimesDir has the programs of runtimes that the host sends.
const RuntimesDir = StateDir + "/runtimes"

// RuntimeProgram returns the path of a program that the host sends.
func RuntimeProgram(name string) string { return path.Join(RuntimesDir, name) }

// Runtimes returns all runtimes beside runc, by name.
func Runtimes() []Runtime {
	return []Runtime{
		{Name: "crun", Handler: "crun"},
		{Name: "gvisor", Handler: "runsc", Programs: []string{ProgramRunscShim, ProgramRunsc}},
	}
}

// RuntimeNames returns the names of Runtimes.
func RuntimeNames() []string {
	var names []string
	for _, r := range Runtimes() {
		names = append(names, r.Name)
	}
	return names
}

// RuntimesNamed returns the runtimes with the given names. It leaves out unknown ones.
func RuntimesNamed(names []string) []Runtime {
	var found []Runtime
	for _, name := range names {
		for _, r := range Runtimes() {
			if r.Name == name {
				found = append(found, r)
			}
		}
	}
	return found
}

// IsRuntimeProgram reports whether a runtime has a program of the given name that the host
// sends.
func IsRuntimeProgram(name string) bool {
	for _, r := range Runtimes() {
		for _, program := range r.Programs {
			if program == name {
				return true
			}
		}
	}
	return false
}
