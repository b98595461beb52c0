package route

import "slices"

// Claim is a cluster and the hosts of its Ingresses.
type Claim struct {
	Cluster string
	Hosts   []string
}

// Owner returns the cluster that answers for a host. A host below CLUSTER.localhost
// belongs to that cluster if it exists, whatever others claim. Every other host
// belongs to the cluster with an Ingress for it, exact hosts before wildcards. If
// several clusters have one, it returns "" and these.
func Owner(host string, clusters []string, claims []Claim) (owner string, rivals []string) {
	if name := ClusterOf(host); name != "" && slices.Contains(clusters, name) {
		return name, nil
	}
	for _, pattern := range []string{host, wildcard(host)} {
		if pattern == "" {
			continue
		}
		var found []string
		for _, c := range claims {
			if slices.Contains(c.Hosts, pattern) {
				found = append(found, c.Cluster)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return "", found
		}
	}
	return "", nil
}
