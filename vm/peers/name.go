package peers

import (
	"regexp"
	"strings"

	"github.com/skiff-dev/skiff/vm/cluster"
)

// target is what a name leads to: a load balancer, or the API if there is no service.
type target struct{ cluster, namespace, service string }

// label is a DNS label as Kubernetes and clusters use it. Names become parts of paths.
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// parseName returns what a fully qualified name in lower case leads to:
// api.CLUSTER.skiff.internal or SERVICE.NAMESPACE.CLUSTER.skiff.internal.
func parseName(name string) (target, bool) {
	rest, inside := strings.CutSuffix(name, "."+cluster.InternalZone+".")
	parts := strings.Split(rest, ".")
	for _, part := range parts {
		if !inside || !label.MatchString(part) {
			return target{}, false
		}
	}
	switch {
	case len(parts) == 2 && parts[0] == "api":
		return target{cluster: parts[1]}, true
	case len(parts) == 3:
		return target{cluster: parts[2], namespace: parts[1], service: parts[0]}, true
	}
	return target{}, false
}
