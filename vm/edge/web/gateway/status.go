package gateway

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/skiff-dev/skiff/internal/names"
)

// Status is a status that must be written.
type Status struct {
	// Resource is the plural name of the object's kind.
	Resource string
	Name     types.NamespacedName
	// Version is the resource version of the object that the status is made for.
	Version string
	// Content is a status of the object's kind.
	Content any
}

// statuses returns the statuses that differ from those that the objects have.
func (b *builder) statuses(classes []*gatewayv1.GatewayClass, gateways []*served, routes []*attachment) []Status {
	var all []Status
	add := func(resource string, o metav1.Object, has, should any) {
		if !equality.Semantic.DeepEqual(has, should) {
			all = append(all, Status{Resource: resource, Name: nameOf(o), Version: o.GetResourceVersion(), Content: should})
		}
	}
	for _, c := range classes {
		add("gatewayclasses", c, c.Status, b.classStatus(c))
	}
	for _, s := range gateways {
		add("gateways", s.object, s.object.Status, b.gatewayStatus(s))
	}
	for _, r := range routes {
		should := gatewayv1.RouteStatus{Parents: b.parents(r)}
		switch r.kind {
		case kindHTTP:
			add("httproutes", r.object, r.status, should)
		case kindGRPC:
			add("grpcroutes", r.object, r.status, should)
		case kindTLS:
			add("tlsroutes", r.object, r.status, should)
		}
	}
	return all
}

func (b *builder) classStatus(c *gatewayv1.GatewayClass) gatewayv1.GatewayClassStatus {
	s := gatewayv1.GatewayClassStatus{Conditions: b.conditions(c.Generation, c.Status.Conditions,
		met(string(gatewayv1.GatewayClassConditionStatusAccepted), string(gatewayv1.GatewayClassReasonAccepted)),
		met(string(gatewayv1.GatewayClassConditionStatusSupportedVersion), string(gatewayv1.GatewayClassReasonSupportedVersion)),
	)}
	for _, name := range Features() {
		s.SupportedFeatures = append(s.SupportedFeatures, gatewayv1.SupportedFeature{Name: gatewayv1.FeatureName(name)})
	}
	return s
}

func (b *builder) gatewayStatus(s *served) gatewayv1.GatewayStatus {
	status := gatewayv1.GatewayStatus{}
	if s.address.Usable() {
		status.Addresses = []gatewayv1.GatewayStatusAddress{{Type: ptr.To(gatewayv1.IPAddressType), Value: s.address.IP.String()}}
	}
	usable := 0
	for _, l := range s.listeners {
		if l.usable() {
			usable++
		}
		i := slices.IndexFunc(s.object.Status.Listeners, func(o gatewayv1.ListenerStatus) bool { return o.Name == l.name })
		var before []metav1.Condition
		if i >= 0 {
			before = s.object.Status.Listeners[i].Conditions
		}
		status.Listeners = append(status.Listeners, b.listenerStatus(s, l, before))
	}
	accepted := met(string(gatewayv1.GatewayConditionAccepted), string(gatewayv1.GatewayReasonAccepted))
	programmed := met(string(gatewayv1.GatewayConditionProgrammed), string(gatewayv1.GatewayReasonProgrammed))
	switch {
	case slices.ContainsFunc(s.object.Spec.Addresses, unsupported):
		accepted = accepted.unless(problem{string(gatewayv1.GatewayReasonUnsupportedAddress), "only addresses of the type IPAddress are supported"})
	case usable == 0:
		accepted = accepted.unless(problem{string(gatewayv1.GatewayReasonListenersNotValid), "no listener is valid"})
	case usable < len(s.listeners):
		accepted.Reason, accepted.Message = string(gatewayv1.GatewayReasonListenersNotValid), "not all listeners are valid"
	}
	switch {
	case accepted.Status == metav1.ConditionFalse:
		programmed = programmed.unless(problem{string(gatewayv1.GatewayReasonInvalid), accepted.Message})
	case s.address.Problem != "":
		programmed = programmed.unless(problem{string(gatewayv1.GatewayReasonAddressNotUsable), s.address.Problem})
	case !s.address.Usable():
		programmed = programmed.unless(problem{string(gatewayv1.GatewayReasonAddressNotAssigned), "it has no address yet"})
	}
	status.Conditions = b.conditions(s.object.Generation, s.object.Status.Conditions, accepted, programmed)
	return status
}

func (b *builder) listenerStatus(s *served, l *listener, before []metav1.Condition) gatewayv1.ListenerStatus {
	status := gatewayv1.ListenerStatus{Name: l.name, AttachedRoutes: l.attached, SupportedKinds: []gatewayv1.RouteGroupKind{}}
	for _, kind := range l.kinds {
		status.SupportedKinds = append(status.SupportedKinds, gatewayv1.RouteGroupKind{Group: ptr.To(gatewayv1.Group(group)), Kind: gatewayv1.Kind(kind)})
	}
	accepted := met(string(gatewayv1.ListenerConditionAccepted), string(gatewayv1.ListenerReasonAccepted)).unless(l.accepted)
	refs := met(string(gatewayv1.ListenerConditionResolvedRefs), string(gatewayv1.ListenerReasonResolvedRefs)).unless(l.refs)
	conflicted := met(string(gatewayv1.ListenerConditionConflicted), string(gatewayv1.ListenerReasonNoConflicts))
	conflicted.Status = metav1.ConditionFalse
	if l.conflict.exists() {
		conflicted.Status, conflicted.Reason, conflicted.Message = metav1.ConditionTrue, l.conflict.reason, l.conflict.message
		accepted = accepted.unless(l.conflict)
	}
	programmed := met(string(gatewayv1.ListenerConditionProgrammed), string(gatewayv1.ListenerReasonProgrammed))
	switch {
	case !l.usable():
		programmed = programmed.unless(problem{string(gatewayv1.ListenerReasonInvalid), "the listener is not valid"})
	case !s.address.Usable():
		programmed = programmed.unless(problem{string(gatewayv1.ListenerReasonPending), "the Gateway has no address"})
	}
	status.Conditions = b.conditions(s.object.Generation, before, accepted, programmed, refs, conflicted)
	return status
}

// parents returns the status of a route: what other controllers wrote, and a part for each
// parent of this one.
func (b *builder) parents(r *attachment) []gatewayv1.RouteParentStatus {
	parents := []gatewayv1.RouteParentStatus{}
	var before []gatewayv1.RouteParentStatus
	for _, p := range r.status.Parents {
		if p.ControllerName == names.GatewayController {
			before = append(before, p)
		} else {
			parents = append(parents, p)
		}
	}
	for _, one := range r.results {
		i := slices.IndexFunc(before, func(p gatewayv1.RouteParentStatus) bool {
			return equality.Semantic.DeepEqual(p.ParentRef, one.parent)
		})
		var conditions []metav1.Condition
		if i >= 0 {
			conditions = before[i].Conditions
		}
		accepted := met(string(gatewayv1.RouteConditionAccepted), string(gatewayv1.RouteReasonAccepted)).unless(one.accepted)
		refs := met(string(gatewayv1.RouteConditionResolvedRefs), string(gatewayv1.RouteReasonResolvedRefs)).unless(r.refs)
		parents = append(parents, gatewayv1.RouteParentStatus{
			ParentRef: one.parent, ControllerName: names.GatewayController,
			Conditions: b.conditions(r.object.GetGeneration(), conditions, accepted, refs),
		})
	}
	return parents
}

// condition is a condition without its times.
type condition metav1.Condition

func met(kind, reason string) condition {
	return condition{Type: kind, Status: metav1.ConditionTrue, Reason: reason}
}

// unless returns the condition as not met if there is a problem.
func (c condition) unless(p problem) condition {
	if p.exists() {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, p.reason, p.message
	}
	return c
}

// conditions completes conditions. Those whose status is what it was keep their time.
func (b *builder) conditions(generation int64, before []metav1.Condition, wanted ...condition) []metav1.Condition {
	var all []metav1.Condition
	for _, w := range wanted {
		c := metav1.Condition(w)
		c.ObservedGeneration, c.LastTransitionTime = generation, metav1.NewTime(b.Now.Truncate(1e9))
		i := slices.IndexFunc(before, func(o metav1.Condition) bool { return o.Type == c.Type && o.Status == c.Status })
		if i >= 0 {
			c.LastTransitionTime = before[i].LastTransitionTime
		}
		all = append(all, c)
	}
	return all
}

func nameOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
