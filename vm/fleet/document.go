package fleet

import (
	"encoding/json"
	"os"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/machine"
)

// plainKubelet is the environment variable that turns off Skiff's change to the
// kubelet, in case a workload does not work with it.
const plainKubelet = "SKIFF_PLAIN_KUBELET"

// document returns the node document, with new certificates.
func (f *Fleet) document(n cluster.Node, now time.Time) (nodeconfig.Node, error) {
	files, err := f.credentials.Current().Node(f.Spec(), n, now)
	if err != nil {
		return nodeconfig.Node{}, err
	}
	document := cluster.Document(f.state.current(), n, files, now)
	document.Emulated = f.machines.emulated
	document.Kubernetes.PlainKubelet = os.Getenv(plainKubelet) != ""
	return document, nil
}

// machine returns what the driver needs to run a node, with new certificates.
func (f *Fleet) machine(n cluster.Node, now time.Time) (machine.Machine, error) {
	spec := f.Spec()
	memory, err := cluster.MiB(spec.Memory)
	if err != nil {
		return machine.Machine{}, err
	}
	disk, err := cluster.MiB(spec.Disk)
	if err != nil {
		return machine.Machine{}, err
	}
	document, err := f.document(n, now)
	if err != nil {
		return machine.Machine{}, err
	}
	seed, err := json.Marshal(document)
	if err != nil {
		return machine.Machine{}, err
	}
	return machine.Machine{
		Name: n.Name, CPUs: spec.CPUs, MemoryMiB: memory, DiskMiB: disk,
		Image: f.image.Image, Address: n.Address, MAC: n.MAC, Seed: seed,
	}, nil
}
