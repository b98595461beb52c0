package offline

import (
	"cmp"
	"slices"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// PKI describes the authorities of a stopped cluster and the host's certificates. Nodes get
// new ones when they start.
func PKI(dir home.Cluster) (daemonapi.PKI, error) {
	if _, err := cluster.ReadState(dir.State()); err != nil {
		return daemonapi.PKI{}, err
	}
	set, err := credentials.Read(dir.PKI())
	if err != nil {
		return daemonapi.PKI{}, err
	}
	return DescribePKI(set, nil)
}

// DescribePKI describes credentials, with the certificates of nodes.
func DescribePKI(set credentials.Set, nodes []daemonapi.Certificate) (daemonapi.PKI, error) {
	var described daemonapi.PKI
	r, err := set.Rotation()
	if err != nil {
		return described, err
	}
	if r != nil {
		described.Rotation = &daemonapi.Rotation{Phase: daemonapi.Phase(r.Phase), Names: r.Names()}
		if _, tokens := r.Replacements[pki.ServiceAccounts]; tokens && !r.Issued.IsZero() && !r.Revoke {
			described.Rotation.TokensUntil = r.TokensEnd()
		}
	}
	authorities, err := set.Authorities()
	if err != nil {
		return described, err
	}
	generations := map[string]string{}
	for _, a := range authorities {
		generation := "current"
		switch {
		case a.Old:
			generation = "old"
		case a.New:
			generation = "new"
		}
		generations[a.ID] = generation
		described.Authorities = append(described.Authorities, daemonapi.Authority{
			Name: a.Name, Subject: a.Subject, Expires: a.Expires, ID: a.ID, Fingerprint: a.Fingerprint, Generation: generation, Signs: a.Signs,
		})
	}
	for _, l := range set.Leaves() {
		described.Certificates = append(described.Certificates, daemonapi.Certificate{Name: l.Name, Subject: l.Subject, Expires: l.Expires, Issuer: l.Issuer})
	}
	described.Certificates = append(described.Certificates, nodes...)
	for i, c := range described.Certificates {
		described.Certificates[i].Generation = cmp.Or(generations[c.Issuer], "unknown")
	}
	slices.SortStableFunc(described.Certificates, func(a, b daemonapi.Certificate) int { return cmp.Compare(a.Node, b.Node) })
	return described, nil
}
