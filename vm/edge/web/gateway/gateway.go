// Package gateway decides what the Gateways of a cluster do with each request, and what
// the statuses of the Gateway API's objects are. Both follow from the same objects, so a
// status never promises what a request does not get. It does no I/O.
package gateway

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/vm/edge/web/route"
)

// Objects are what a Table is made from. They are only read.
type Objects struct {
	Classes    []*gatewayv1.GatewayClass
	Gateways   []*gatewayv1.Gateway
	HTTPRoutes []*gatewayv1.HTTPRoute
	GRPCRoutes []*gatewayv1.GRPCRoute
	TLSRoutes  []*gatewayv1.TLSRoute
	Grants     []*gatewayv1.ReferenceGrant
	Namespaces []*corev1.Namespace
}

// Own returns the Gateways of the classes of this controller, oldest first, and these
// classes.
func (o Objects) Own() ([]*gatewayv1.Gateway, []*gatewayv1.GatewayClass) {
	handled := map[gatewayv1.ObjectName]bool{}
	var classes []*gatewayv1.GatewayClass
	for _, c := range o.Classes {
		if c.Spec.ControllerName == names.GatewayController {
			handled[gatewayv1.ObjectName(c.Name)] = true
			classes = append(classes, c)
		}
	}
	var gateways []*gatewayv1.Gateway
	for _, g := range o.Gateways {
		if handled[g.Spec.GatewayClassName] && g.DeletionTimestamp == nil {
			gateways = append(gateways, g)
		}
	}
	slices.SortStableFunc(gateways, func(a, b *gatewayv1.Gateway) int { return older(a, b) })
	return gateways, classes
}

// older orders objects as the API requires where two of them contradict: by age, then
// by name.
func older(a, b metav1.Object) int {
	at, bt := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	return cmp.Or(at.Compare(bt.Time), cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}

// Environment is what a Table depends on beside the API's objects.
type Environment struct {
	// Services resolves backends.
	Services *route.Table
	// Addresses are where Gateways answer, by UID.
	Addresses map[types.UID]Address
	// Certificates has an error for each of Table.Secrets that does not hold a
	// certificate.
	Certificates map[types.NamespacedName]error
	// Now is the time of changed conditions.
	Now time.Time
}

// Table holds the listeners, the routes and the statuses. It does not change.
type Table struct {
	gateways  []*served
	entry     []*listener // those that the web entry of the host serves
	hosts     []string    // of the routes of entry
	secrets   []types.NamespacedName
	statuses  []Status
	listeners map[key][]*listener
}

// key is a port of a Gateway.
type key struct {
	gateway types.NamespacedName
	port    int32
}

// served is a Gateway and its listeners.
type served struct {
	object    *gatewayv1.Gateway
	name      types.NamespacedName
	address   Address
	listeners []*listener
}

// New returns the table of a cluster.
func New(o Objects, e Environment) *Table {
	b := &builder{Objects: o, Environment: e, namespaces: map[string]*corev1.Namespace{}}
	for _, n := range o.Namespaces {
		b.namespaces[n.Name] = n
	}
	gateways, classes := o.Own()
	t := &Table{listeners: map[key][]*listener{}}
	for _, g := range gateways {
		s := b.serve(g)
		t.gateways = append(t.gateways, s)
		for _, l := range s.listeners {
			t.secrets = append(t.secrets, l.secrets...)
		}
	}
	routes := b.routes()
	for _, r := range routes {
		b.attach(t.gateways, r)
	}
	for _, s := range t.gateways {
		for _, l := range s.listeners {
			l.sort()
			if l.usable() {
				k := key{s.name, l.port}
				t.listeners[k] = append(t.listeners[k], l)
				t.entry = append(t.entry, l)
			}
		}
	}
	// The web entry has the standard ports.
	slices.SortStableFunc(t.entry, func(a, b *listener) int { return cmp.Compare(a.unusual(), b.unusual()) })
	t.hosts = hostsOf(t.entry)
	t.statuses = b.statuses(classes, t.gateways, routes)
	return t
}

// builder is what New works with.
type builder struct {
	Objects
	Environment
	namespaces map[string]*corev1.Namespace
}

// Secrets returns the secrets whose certificates listeners may use.
func (t *Table) Secrets() []types.NamespacedName { return t.secrets }

// Statuses returns the statuses that must be written.
func (t *Table) Statuses() []Status { return t.statuses }

// Port is a port at which a Gateway listens.
type Port struct {
	Gateway types.NamespacedName
	Number  int32
	TLS     bool
	Address Address
}

// Ports returns the ports of all Gateways that have an address.
func (t *Table) Ports() []Port {
	var all []Port
	for _, s := range t.gateways {
		for _, l := range s.listeners {
			p := Port{Gateway: s.name, Number: l.port, TLS: l.protocol != gatewayv1.HTTPProtocolType, Address: s.address}
			if l.usable() && s.address.Usable() && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}
