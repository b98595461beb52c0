package gateway

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// listener is a listener of a Gateway, with the routes that are attached to it.
type listener struct {
	gateway     types.NamespacedName
	name        gatewayv1.SectionName
	port        int32
	protocol    gatewayv1.ProtocolType
	passthrough bool
	hostname    string // in lower case, "" for any
	kinds       []string
	namespaces  func(namespace string) bool
	secrets     []types.NamespacedName

	accepted, refs, conflict problem // why it does not work
	attached                 int32
	rules                    []*rule
	streams                  []*stream
}

// problem is the reason and the message of a condition that is not met. The zero value
// means that it is.
type problem struct{ reason, message string }

func (p problem) exists() bool { return p != problem{} }

// usable reports whether the listener can serve requests.
func (l *listener) usable() bool {
	badCertificate := l.refs.exists() && l.refs.reason != string(gatewayv1.ListenerReasonInvalidRouteKinds)
	return !l.accepted.exists() && !l.conflict.exists() && !badCertificate
}

// unusual is 0 for a listener at the standard port of its protocol.
func (l *listener) unusual() int {
	if l.protocol == gatewayv1.HTTPProtocolType && l.port == 80 || l.protocol != gatewayv1.HTTPProtocolType && l.port == 443 {
		return 0
	}
	return 1
}

// kindsOf returns the kinds of routes that a protocol supports.
func kindsOf(protocol gatewayv1.ProtocolType) []string {
	switch protocol {
	case gatewayv1.HTTPProtocolType, gatewayv1.HTTPSProtocolType:
		return []string{kindHTTP, kindGRPC}
	case gatewayv1.TLSProtocolType:
		return []string{kindTLS}
	}
	return nil
}

// serve returns a Gateway with its listeners.
func (b *builder) serve(g *gatewayv1.Gateway) *served {
	s := &served{object: g, name: nameOf(g), address: b.Addresses[g.UID]}
	for _, spec := range g.Spec.Listeners {
		s.listeners = append(s.listeners, b.listen(g, spec))
	}
	for i, one := range s.listeners {
		for _, other := range s.listeners[i+1:] {
			one.compare(other)
		}
	}
	return s
}

func (b *builder) listen(g *gatewayv1.Gateway, spec gatewayv1.Listener) *listener {
	l := &listener{gateway: nameOf(g), name: spec.Name, port: spec.Port, protocol: spec.Protocol, hostname: strings.ToLower(string(ptr.Deref(spec.Hostname, "")))}
	l.namespaces = b.namespacesOf(g, spec.AllowedRoutes)
	l.kinds = kindsOf(spec.Protocol)
	if l.kinds == nil {
		l.accepted = problem{string(gatewayv1.ListenerReasonUnsupportedProtocol), fmt.Sprintf("the protocol %s is not supported", spec.Protocol)}
		return l
	}
	if spec.AllowedRoutes != nil && len(spec.AllowedRoutes.Kinds) > 0 {
		l.allow(spec.AllowedRoutes.Kinds)
	}
	l.passthrough = spec.TLS != nil && ptr.Deref(spec.TLS.Mode, gatewayv1.TLSModeTerminate) == gatewayv1.TLSModePassthrough
	if spec.Protocol != gatewayv1.HTTPProtocolType && !l.passthrough {
		b.certify(g, l, spec.TLS)
	}
	return l
}

// allow limits the kinds of routes.
func (l *listener) allow(kinds []gatewayv1.RouteGroupKind) {
	supported := l.kinds
	l.kinds = nil
	for _, k := range kinds {
		if ptr.Deref(k.Group, group) != group || !slices.Contains(supported, string(k.Kind)) {
			l.refs = problem{string(gatewayv1.ListenerReasonInvalidRouteKinds), fmt.Sprintf("a listener with the protocol %s has no routes of the kind %s", l.protocol, k.Kind)}
			continue
		}
		l.kinds = append(l.kinds, string(k.Kind))
	}
}

// certify resolves the certificates of a listener that terminates TLS.
func (b *builder) certify(g *gatewayv1.Gateway, l *listener, config *gatewayv1.ListenerTLSConfig) {
	invalid := string(gatewayv1.ListenerReasonInvalidCertificateRef)
	if config == nil || len(config.CertificateRefs) == 0 {
		l.refs = problem{invalid, "it terminates TLS, but names no certificate"}
		return
	}
	for _, ref := range config.CertificateRefs {
		secret := types.NamespacedName{Namespace: string(ptr.Deref(ref.Namespace, gatewayv1.Namespace(g.Namespace))), Name: string(ref.Name)}
		if ptr.Deref(ref.Group, core) != core || ptr.Deref(ref.Kind, "Secret") != "Secret" {
			l.refs = problem{invalid, fmt.Sprintf("%s is not a Secret", ref.Name)}
			continue
		}
		if !b.permits(reference{"Gateway", g.Namespace, "Secret", secret}) {
			l.refs = problem{string(gatewayv1.ListenerReasonRefNotPermitted), fmt.Sprintf("no ReferenceGrant permits the Secret %s", secret)}
			continue
		}
		l.secrets = append(l.secrets, secret)
		if err := b.Certificates[secret]; err != nil {
			l.refs = problem{invalid, err.Error()}
		}
	}
}

// compare marks two listeners of a Gateway that exclude each other.
func (l *listener) compare(other *listener) {
	if l.port != other.port || l.accepted.exists() || other.accepted.exists() {
		return
	}
	var conflict problem
	switch plain := gatewayv1.HTTPProtocolType; {
	case (l.protocol == plain) != (other.protocol == plain):
		conflict = problem{string(gatewayv1.ListenerReasonProtocolConflict), "the listeners of the port have protocols that exclude each other"}
	case l.hostname == other.hostname:
		conflict = problem{string(gatewayv1.ListenerReasonHostnameConflict), "another listener of the port has the same hostname"}
	default:
		return
	}
	l.conflict, other.conflict = conflict, conflict
}

// namespacesOf returns a function that reports whether routes of a namespace may be
// attached.
func (b *builder) namespacesOf(g *gatewayv1.Gateway, allowed *gatewayv1.AllowedRoutes) func(string) bool {
	var from *gatewayv1.RouteNamespaces
	if allowed != nil {
		from = allowed.Namespaces
	}
	if from == nil {
		from = &gatewayv1.RouteNamespaces{}
	}
	switch ptr.Deref(from.From, gatewayv1.NamespacesFromSame) {
	case gatewayv1.NamespacesFromAll:
		return func(string) bool { return true }
	case gatewayv1.NamespacesFromSame:
		return func(namespace string) bool { return namespace == g.Namespace }
	case gatewayv1.NamespacesFromSelector:
		selector, err := metav1.LabelSelectorAsSelector(from.Selector)
		if err != nil {
			break
		}
		return func(namespace string) bool {
			n := b.namespaces[namespace]
			return n != nil && selector.Matches(labels.Set(n.Labels))
		}
	}
	return func(string) bool { return false }
}
