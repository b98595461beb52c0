package route

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/internal/names"
)

// classAnnotation names the class of Ingresses that are older than ingressClassName.
const classAnnotation = "kubernetes.io/ingress.class"

// rule is one path of an Ingress.
type rule struct {
	path  string
	exact bool
	to    reference
}

// reference is a backend as an Ingress names it.
type reference struct {
	service  types.NamespacedName
	port     string // name or number
	resource bool   // a backend other than a Service
}

// fallback is the default backend of an Ingress.
type fallback struct {
	hosts []string // of the rules of the same Ingress
	to    reference
}

// certificate is the secret of a host.
type certificate struct {
	host   string // may be a wildcard; "" means any host of the Ingress
	hosts  []string
	secret types.NamespacedName
}

// ownIngresses returns the Ingresses of the classes of this controller, oldest first: where
// two contradict, the older one counts. Ingresses in namespaces that are being deleted come
// last, because Kubernetes deletes their pods first.
func ownIngresses(ingresses []*networkingv1.Ingress, classes []*networkingv1.IngressClass, namespaces []*corev1.Namespace) []*networkingv1.Ingress {
	ending := map[string]int{}
	for _, n := range namespaces {
		if n.DeletionTimestamp != nil {
			ending[n.Name] = 1
		}
	}
	handled := map[string]bool{}
	for _, c := range classes {
		handled[c.Name] = c.Spec.Controller == names.IngressController
	}
	var all []*networkingv1.Ingress
	for _, i := range ingresses {
		class := i.Annotations[classAnnotation]
		if i.Spec.IngressClassName != nil {
			class = *i.Spec.IngressClassName
		}
		if handled[class] {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(cmp.Compare(ending[a.Namespace], ending[b.Namespace]), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// add takes over the rules, the default backend and the secrets of an Ingress.
func (t *Table) add(i *networkingv1.Ingress) {
	var hosts []string
	for _, r := range i.Spec.Rules {
		host := strings.ToLower(r.Host)
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
		rules := t.rules[host]
		if r.HTTP != nil {
			for _, p := range r.HTTP.Paths {
				rules = append(rules, rule{
					path: p.Path, exact: p.PathType != nil && *p.PathType == networkingv1.PathTypeExact,
					to: referenceTo(i.Namespace, p.Backend),
				})
			}
		}
		// A host without paths is known, too: its requests go to the default backend.
		t.rules[host] = rules
	}
	if i.Spec.DefaultBackend != nil {
		t.fallbacks = append(t.fallbacks, fallback{hosts: hosts, to: referenceTo(i.Namespace, *i.Spec.DefaultBackend)})
	}
	for _, entry := range i.Spec.TLS {
		if entry.SecretName == "" {
			continue
		}
		secret := types.NamespacedName{Namespace: i.Namespace, Name: entry.SecretName}
		for _, host := range entry.Hosts {
			t.certificates = append(t.certificates, certificate{host: strings.ToLower(host), secret: secret})
		}
		if len(entry.Hosts) == 0 {
			t.certificates = append(t.certificates, certificate{hosts: hosts, secret: secret})
		}
	}
}

func referenceTo(namespace string, b networkingv1.IngressBackend) reference {
	if b.Service == nil {
		return reference{resource: true}
	}
	port := b.Service.Port.Name
	if port == "" {
		port = strconv.Itoa(int(b.Service.Port.Number))
	}
	return reference{service: types.NamespacedName{Namespace: namespace, Name: b.Service.Name}, port: port}
}

// match returns the rule for a path: the longest one, of two that are equally long
// the exact one, and of two that are the same the first.
func match(rules []rule, requested string) (rule, bool) {
	requested = Clean(requested)
	var best rule
	found := false
	for _, r := range rules {
		if !r.matches(requested) {
			continue
		}
		longer := cmp.Compare(r.weight(), best.weight())
		if !found || longer > 0 || longer == 0 && r.exact && !best.exact {
			best, found = r, true
		}
	}
	return best, found
}

// matches implements the path types of Ingress. ImplementationSpecific is the same
// as Prefix.
func (r rule) matches(requested string) bool {
	if r.exact {
		return requested == r.path
	}
	prefix := strings.TrimSuffix(r.path, "/")
	return requested == prefix || strings.HasPrefix(requested, prefix+"/")
}

func (r rule) weight() int { return len(strings.TrimSuffix(r.path, "/")) }

// Clean resolves dot segments, so that a request cannot select one rule and be
// understood by the backend as the path of another.
func Clean(requested string) string {
	if requested == "" {
		return "/"
	}
	if !slices.ContainsFunc(strings.Split(requested, "/"), func(segment string) bool { return segment == "." || segment == ".." }) {
		return requested
	}
	cleaned := path.Clean("/" + requested)
	if cleaned != "/" && (strings.HasSuffix(requested, "/") || strings.HasSuffix(requested, "/.") || strings.HasSuffix(requested, "/..")) {
		cleaned += "/"
	}
	return cleaned
}
