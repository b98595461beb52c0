package boot

import (
	"fmt"
	"strings"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Files of container runtimes, below /etc.
const (
	// runtimesFile is imported by containerd's configuration.
	runtimesFile = "containerd/conf.d/skiff-runtimes.toml"
	// runscFile configures gVisor's shim.
	runscFile = "containerd/runsc.toml"
)

// runscConfig makes gVisor intercept system calls by seccomp, which needs no virtualization
// (https://gvisor.dev/docs/architecture_guide/platforms/).
const runscConfig = `binary_name = '%s'

[runsc_config]
  platform = 'systrap'
`

// runtimes are containerd's configurations of runtimes, by handler. Containers of crun have
// runc's shim, which calls it through a program of the image that adjusts bundles to it
// (https://github.com/containerd/containerd/blob/main/docs/cri/config.md).
func runtimes() map[string]string {
	return map[string]string{
		"crun": `  runtime_type = 'io.containerd.runc.v2'
  [%s.options]
    BinaryName = '/usr/lib/skiff/crun'
    SystemdCgroup = false
`,
		"runsc": `  runtime_type = 'io.containerd.runsc.v1'
  runtime_path = '` + nodeconfig.RuntimeProgram(nodeconfig.ProgramRunscShim) + `'
  [%s.options]
    TypeUrl = 'io.containerd.runsc.v1.options'
    ConfigPath = '/etc/` + runscFile + `'
`,
	}
}

// runtimeFiles returns the files in /etc that configure the named runtimes, none without
// any. They do not need the programs, which containerd looks for when a pod starts.
func runtimeFiles(names []string) map[string]string {
	files := map[string]string{}
	var b strings.Builder
	for _, r := range nodeconfig.RuntimesNamed(names) {
		section := "plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes." + r.Handler
		fmt.Fprintf(&b, "\n[%s]\n", section)
		fmt.Fprintf(&b, runtimes()[r.Handler], section)
		if r.Handler == "runsc" {
			files[runscFile] = fmt.Sprintf(runscConfig, nodeconfig.RuntimeProgram(nodeconfig.ProgramRunsc))
		}
	}
	if b.Len() > 0 {
		files[runtimesFile] = "version = 4\n" + b.String()
	}
	return files
}
