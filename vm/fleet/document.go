package fleet

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/machine"
)

// tokenLifetime is how long a kubelet without a certificate can join.
const tokenLifetime = 2 * time.Hour

// joinToken is the bootstrap token with which kubelets join, of 6 and 16
// characters (https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/).
type joinToken struct{ id, secret string }

func newToken() joinToken {
	text := strings.ToLower(rand.Text())
	return joinToken{id: text[:6], secret: text[6:22]}
}

func (t joinToken) String() string { return t.id + "." + t.secret }

// document returns the node document, with new certificates.
func (f *Fleet) document(n cluster.Node, now time.Time) (nodeconfig.Node, error) {
	files, err := f.credentials.Current().Node(f.Spec(), n, now)
	if err != nil {
		return nodeconfig.Node{}, err
	}
	document := cluster.Document(f.state.current(), n, files, f.token.String(), now)
	document.Emulated = f.machines.emulated
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
