package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/home"
)

// testRenewal gives running nodes certificates that are past half of their
// lifetime, and checks that all are renewed without restarting a program.
func testRenewal(t *testing.T, r *rig, name string, k *kube) {
	authorities, err := pki.ReadFiles(home.Home(r.home).Cluster(name).PKI())
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-pki.LeafLifetime * 3 / 5)
	status := r.status(t, name)
	old := map[string][]string{}
	programs := map[string]string{}
	for _, n := range status.Nodes {
		programs[n.Name] = r.programs(t, name, n.Name)
		network := cluster.Default().Network
		files, err := certificatesAt(authorities, nodeconfig.Role(n.Role), pki.Node{
			Cluster: name, Name: n.Name, Address: netip.MustParseAddr(n.Address),
			ServiceAddress: cluster.ServiceAddress(network), Domain: network.Domain,
		}, then)
		if err != nil {
			t.Fatal(err)
		}
		for file, content := range files {
			extension := path.Ext(file)
			if _, fixed := authorities[file]; fixed || (extension != ".crt" && extension != ".key") {
				continue // a CA
			}
			if extension == ".crt" {
				old[n.Name] = append(old[n.Name], file)
			}
			r.pipe(t, bytes.NewReader(content), "shell", "--cluster", name, n.Name, "--", "sh", "-c", "cat >"+nodeconfig.PKIDir+"/"+file+".old")
		}
		// Replace all files at once, because this connection uses one of the pairs.
		r.skiff(t, "shell", "--cluster", name, n.Name, "--", "sh", "-c",
			"for f in $(find "+nodeconfig.PKIDir+" -name '*.old'); do mv $f ${f%.old}; done")
	}
	eventually(t, waitLimit, "the API serves an old certificate", func() error {
		return checkCertificate(status.Server, func(c *x509.Certificate) bool { return pki.Used(c, time.Now()) })
	})
	r.skiff(t, "up", name) // checks immediately instead of within the hour
	for node, files := range old {
		for _, file := range files {
			eventually(t, waitLimit, node+" has a new "+file, func() error {
				content := r.skiff(t, "shell", "--cluster", name, node, "--", "cat", nodeconfig.PKIDir+"/"+file)
				if pki.Stale([]byte(content), time.Now()) {
					return fmt.Errorf("%s is stale", file)
				}
				return nil
			})
		}
		t.Logf("%s: %d certificates renewed", node, len(files))
	}
	eventually(t, waitLimit, "the API serves a new certificate", func() error {
		return checkCertificate(status.Server, func(c *x509.Certificate) bool { return !pki.Used(c, time.Now()) })
	})
	k.in(t).kubectl(t, "create", "configmap", "renewed")
	for node, before := range programs {
		equal(t, "programs of "+node, r.programs(t, name, node), before)
	}
}

func certificatesAt(authorities pki.Files, role nodeconfig.Role, node pki.Node, now time.Time) (pki.Files, error) {
	if role == nodeconfig.RoleControlPlane {
		return pki.ControlPlane(authorities, node, now)
	}
	return pki.Worker(authorities, node, now)
}

// checkCertificate checks the certificate that a server presents.
func checkCertificate(server string, check func(*x509.Certificate) bool) error {
	conn, err := tls.Dial("tcp", strings.TrimPrefix(server, "https://"), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // only reads the certificate
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if c := conn.ConnectionState().PeerCertificates[0]; !check(c) {
		return fmt.Errorf("the certificate is valid from %s to %s", c.NotBefore, c.NotAfter)
	}
	return nil
}

// programs returns the processes of the skiff programs on a node.
func (r *rig) programs(t *testing.T, cluster, node string) string {
	t.Helper()
	return r.skiff(t, "shell", "--cluster", cluster, node, "--", "sh", "-c", "grep -lE '^skiff-(nodeagent|controlp)' /proc/[0-9]*/comm")
}
