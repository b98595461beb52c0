package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// described returns what a node with files reports.
func described(files pki.Files) nodeapi.Status {
	status := nodeapi.Status{Trust: map[string]string{}}
	leaves := map[string]bool{}
	for _, leaf := range files.Leaves() {
		leaves[leaf.Name] = true
		status.Certificates = append(status.Certificates, nodeapi.Certificate{Name: leaf.Name, Issuer: leaf.Issuer})
	}
	for at, content := range files {
		extension := path.Ext(at)
		if slices.Contains([]string{".crt", ".key", ".pub"}, extension) && !leaves[strings.TrimSuffix(at, extension)] {
			sum := sha256.Sum256(content)
			status.Trust[at] = hex.EncodeToString(sum[:])
		}
	}
	return status
}

func TestANodeGetsTheFilesThatItsPhaseChanges(t *testing.T) {
	now := time.Now()
	authorities, err := pki.Authorities(now)
	if err != nil {
		t.Fatal(err)
	}
	in := func(phase pki.RotationPhase, names ...string) pki.Files {
		files := authorities
		if phase != "" {
			r, err := authorities.BeginRotation(names, now)
			if err != nil {
				t.Fatal(err)
			}
			content, err := r.Advance(phase).Encode()
			if err != nil {
				t.Fatal(err)
			}
			if files, err = pki.Merge(authorities, pki.Files{pki.RotationFile: content}).Effective(); err != nil {
				t.Fatal(err)
			}
		}
		made, err := pki.ControlPlane(files, pki.Node{Cluster: "c", Name: "control-plane-1", Address: netip.MustParseAddr("192.168.104.11"), Domain: "d"}, now)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	has := described(in(""))
	for name, tt := range map[string]struct {
		files pki.Files
		want  string
	}{
		"nothing":                   {in(""), ""},
		"the node API's is trusted": {in(pki.PhaseTrust, "host-ca"), "host-ca.crt"},
		"the node API's signs":      {in(pki.PhaseIssue, "host-ca"), "host-ca.crt node-api.crt node-api.key"},
		"the key of tokens":         {in(pki.PhaseTrust, pki.ServiceAccounts), "sa.pub"},
		"the key of tokens signs":   {in(pki.PhaseIssue, pki.ServiceAccounts), "sa.key sa.pub"},
		"etcd's":                    {in(pki.PhaseIssue, "etcd/ca"), "apiserver-etcd-client.crt apiserver-etcd-client.key etcd/ca.crt etcd/peer.crt etcd/peer.key etcd/server.crt etcd/server.key"},
		"the cluster's is trusted":  {in(pki.PhaseTrust, "ca"), "ca.crt"},
	} {
		if got := strings.Join(outdatedFiles(tt.files, has), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	if got := outdatedFiles(in(pki.PhaseIssue, "ca"), has); !slices.Contains(got, "ca.key") || !slices.Contains(got, "kubelet-server.key") || slices.Contains(got, "etcd/peer.crt") {
		t.Errorf("the cluster's signs: %v", got)
	}
	if got := outdatedFiles(in(""), nodeapi.Status{}); !slices.Contains(got, "sa.key") || !slices.Contains(got, "node-api.crt") || slices.Contains(got, pki.EncryptionFile) {
		t.Errorf("of a node that reports nothing: %v", got)
	}
}
