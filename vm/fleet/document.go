package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/machine"
	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/network/resolver"
)

// plainKubelet is the environment variable that turns off Skiff's changes to the
// kubelet, in case a workload does not work with them.
const plainKubelet = "SKIFF_PLAIN_KUBELET"

// documents makes what a node boots with.
type documents struct {
	images      *images
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
	components, err := json.Marshal(d.state.current().NodeSettings().Of(n))
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
	document.Emulated = d.emulated || n.Arch != ""
	document.Host = d.host()
	document.Kubernetes.PlainKubelet = os.Getenv(plainKubelet) != ""
	return document, nil
}

// machine returns what the driver needs to run a node, with new certificates.
func (d *documents) machine(n cluster.Node, now time.Time) (machine.Machine, error) {
	folders, err := d.state.spec().Folders()
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
	settings, err := bootSettings(document)
	if err != nil {
		return machine.Machine{}, err
	}
	inherited, err := d.inherited(n, document, now)
	if err != nil {
		return machine.Machine{}, err
	}
	state := d.state.current()
	img, err := d.images.get(state, state.ImageOf(n.Name, d.images.own()), n)
	if err != nil {
		return machine.Machine{}, err
	}
	return machine.Machine{
		Name: n.Name, CPUs: n.Size.CPUs, MemoryMiB: n.Size.MemoryMiB, DiskMiB: n.Size.DiskMiB,
		Image: img.Image, Address: n.Address, MAC: n.MAC, Folders: folders, Seed: seed, Settings: settings, Inherited: inherited,
	}, nil
}

// inherited returns the settings of a node in the memory of the cluster in the snapshot, empty
// if the node may not continue with it. From the second phase of the rotation on, the other
// nodes would not accept it.
func (d *documents) inherited(n cluster.Node, document nodeconfig.Node, now time.Time) (string, error) {
	state := d.state.current()
	before, ok := d.credentials.Current().Before()
	if !ok || !state.Shared() {
		return "", nil
	}
	files, err := before.Node(state.Spec, n, now)
	if err != nil {
		return "", err
	}
	document.Cluster, document.Files = state.Origin.Cluster, files
	return bootSettings(document)
}

// bootSettings returns a digest of what of a document a node reads only when it boots, and
// of the authorities that it trusts. Everything else can change while the node runs, or
// concerns only its first boot.
func bootSettings(document nodeconfig.Node) (string, error) {
	authorities := map[string][]byte{}
	for path, content := range document.Files {
		if strings.HasSuffix(path, "ca.crt") || path == "sa.pub" {
			authorities[path] = content
		}
	}
	document.Files, document.Written, document.Host = authorities, time.Time{}, nodeconfig.Host{}
	document.Kubernetes.Labels, document.Kubernetes.Taints = nil, nil
	document.Network.Hosts, document.ControlPlanes, document.Etcd = nil, nil, nil
	content, err := json.Marshal(document)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}
