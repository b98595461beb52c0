package fleet

import (
	"encoding/json"
	"os"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/network/resolver"
)

// plainKubelet is the environment variable that turns off Skiff's change to the
// kubelet, in case a workload does not work with it.
const plainKubelet = "SKIFF_PLAIN_KUBELET"

// documents makes what a node boots with.
type documents struct {
	image       image.Image
	state       *store
	credentials *credentials.Store
	search      resolver.Search
	emulated    bool
	folderTag   func(machine.Folder) string // as in drivers.Machines
}

// host returns what nodes take over from the host.
func (d *documents) host() nodeconfig.Host {
	spec := d.state.spec()
	return nodeconfig.Host{
		Search: d.search.Domains(), Authorities: spec.Environment.Authorities,
		Proxy: cluster.NodeProxy(spec, network.HostServices(spec.Network.Nodes)),
	}
}

// node returns the node document, with new certificates.
func (d *documents) node(n cluster.Node, now time.Time) (nodeconfig.Node, error) {
	files, err := d.credentials.Current().Node(d.state.spec(), n, now)
	if err != nil {
		return nodeconfig.Node{}, err
	}
	components, err := json.Marshal(d.state.current().Components.For(n.Role))
	if err != nil {
		return nodeconfig.Node{}, err
	}
	files[nodeconfig.ComponentsFile] = components
	document := cluster.Document(d.state.current(), n, files, now)
	folders, err := d.state.spec().Folders()
	if err != nil {
		return nodeconfig.Node{}, err
	}
	for _, f := range folders {
		folder := nodeconfig.Folder{Path: f.Path, ReadOnly: f.ReadOnly}
		if d.folderTag != nil {
			folder.Tag = d.folderTag(f)
		}
		document.Folders = append(document.Folders, folder)
	}
	document.Emulated = d.emulated
	document.Host = d.host()
	document.Kubernetes.PlainKubelet = os.Getenv(plainKubelet) != ""
	return document, nil
}

// machine returns what the driver needs to run a node, with new certificates.
func (d *documents) machine(n cluster.Node, now time.Time) (machine.Machine, error) {
	spec := d.state.spec()
	memory, err := cluster.MiB(spec.Memory)
	if err != nil {
		return machine.Machine{}, err
	}
	disk, err := cluster.MiB(spec.Disk)
	if err != nil {
		return machine.Machine{}, err
	}
	folders, err := spec.Folders()
	if err != nil {
		return machine.Machine{}, err
	}
	document, err := d.node(n, now)
	if err != nil {
		return machine.Machine{}, err
	}
	seed, err := json.Marshal(document)
	if err != nil {
		return machine.Machine{}, err
	}
	return machine.Machine{
		Name: n.Name, CPUs: spec.CPUs, MemoryMiB: memory, DiskMiB: disk,
		Image: d.image.Image, Address: n.Address, MAC: n.MAC, Folders: folders, Seed: seed,
	}, nil
}
