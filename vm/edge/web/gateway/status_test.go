package gateway

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func TestListenersReportWhyTheyDoNotWork(t *testing.T) {
	for _, tt := range []struct {
		name, listeners string
		want            string // of the first listener: Accepted, ResolvedRefs, Conflicted, Programmed
		gateway         string
	}{
		{"plain", plain, "True Accepted, True ResolvedRefs, False NoConflicts, True Programmed", "True Accepted"},
		{"protocol", `[{name: x, port: 1, protocol: UDP}]`, "False UnsupportedProtocol, True ResolvedRefs, False NoConflicts, False Invalid", "False ListenersNotValid"},
		{"one of two", `[{name: x, port: 1, protocol: UDP}, {name: http, port: 80, protocol: HTTP}]`, "False UnsupportedProtocol, True ResolvedRefs, False NoConflicts, False Invalid", "True ListenersNotValid"},
		{"kinds", `[{name: x, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: TLSRoute}]}}]`, "True Accepted, False InvalidRouteKinds, False NoConflicts, True Programmed", "True Accepted"},
		{"no certificate", `[{name: x, port: 443, protocol: HTTPS}]`, "True Accepted, False InvalidCertificateRef, False NoConflicts, False Invalid", "False ListenersNotValid"},
		{"missing secret", `[{name: x, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: missing}]}}]`, "True Accepted, False InvalidCertificateRef, False NoConflicts, False Invalid", "False ListenersNotValid"},
		{"other namespace", `[{name: x, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert, namespace: other}]}}]`, "True Accepted, False RefNotPermitted, False NoConflicts, False Invalid", "False ListenersNotValid"},
		{"conflict", `[{name: x, port: 443, protocol: HTTP}, {name: y, port: 443, protocol: TLS, tls: {mode: Passthrough}}]`, "False ProtocolConflict, True ResolvedRefs, True ProtocolConflict, False Invalid", "False ListenersNotValid"},
	} {
		r := newRig()
		r.environment.Certificates[types.NamespacedName{Namespace: "default", Name: "missing"}] = errNoCertificate
		r.gateway(t, "web", tt.listeners)
		s := status[gatewayv1.GatewayStatus](t, r.table(), "gateways", "web")
		c := s.Listeners[0].Conditions
		got := fmt.Sprintf("%s, %s, %s, %s", reason(c, "Accepted"), reason(c, "ResolvedRefs"), reason(c, "Conflicted"), reason(c, "Programmed"))
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if got := reason(s.Conditions, "Accepted"); got != tt.gateway {
			t.Errorf("%s: Gateway %s, want %s", tt.name, got, tt.gateway)
		}
	}
}

func TestRoutesReportWhyTheyAreNotUsed(t *testing.T) {
	for _, tt := range []struct{ name, spec, accepted, refs string }{
		{"fine", `{parentRefs: [{name: web}], rules: [{backendRefs: [{name: a, port: 80}]}]}`, "True Accepted", "True ResolvedRefs"},
		{"no section", `{parentRefs: [{name: web, sectionName: x}]}`, "False NoMatchingParent", "True ResolvedRefs"},
		{"no port", `{parentRefs: [{name: web, port: 81}]}`, "False NoMatchingParent", "True ResolvedRefs"},
		{"hostname", `{parentRefs: [{name: web}], hostnames: [other.test]}`, "False NoMatchingListenerHostname", "True ResolvedRefs"},
		{"kind", `{parentRefs: [{name: streams}]}`, "False NotAllowedByListeners", "True ResolvedRefs"},
		{"backend kind", `{parentRefs: [{name: web}], rules: [{backendRefs: [{kind: Thing, name: a, port: 80}]}]}`, "True Accepted", "False InvalidKind"},
		{"no Service", `{parentRefs: [{name: web}], rules: [{backendRefs: [{name: x, port: 80}]}]}`, "True Accepted", "False BackendNotFound"},
		{"other namespace", `{parentRefs: [{name: web}], rules: [{backendRefs: [{name: a, namespace: other, port: 80}]}]}`, "True Accepted", "False RefNotPermitted"},
		{"permitted", `{parentRefs: [{name: web}], rules: [{backendRefs: [{name: b, namespace: other, port: 80}]}]}`, "True Accepted", "True ResolvedRefs"},
		{"expression", `{parentRefs: [{name: web}], rules: [{matches: [{path: {type: RegularExpression, value: "("}}]}]}`, "False UnsupportedValue", "True ResolvedRefs"},
	} {
		r := newRig()
		r.gateway(t, "web", `[{name: http, port: 80, protocol: HTTP, hostname: "*.shop.test"}]`)
		r.gateway(t, "streams", `[{name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}]`)
		r.objects.Grants = []*gatewayv1.ReferenceGrant{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "grant"},
			Spec: gatewayv1.ReferenceGrantSpec{
				From: []gatewayv1.ReferenceGrantFrom{{Group: group, Kind: kindHTTP, Namespace: "default"}},
				To:   []gatewayv1.ReferenceGrantTo{{Kind: "Service", Name: ptr.To(gatewayv1.ObjectName("b"))}},
			},
		}}
		r.http(t, "one", tt.spec)
		table := r.table()
		parents := status[gatewayv1.RouteStatus](t, table, "httproutes", "one").Parents
		if len(parents) != 1 {
			t.Fatalf("%s: %+v", tt.name, parents)
		}
		if a, refs := reason(parents[0].Conditions, "Accepted"), reason(parents[0].Conditions, "ResolvedRefs"); a != tt.accepted || refs != tt.refs {
			t.Errorf("%s: %s, %s", tt.name, a, refs)
		}
		attached := status[gatewayv1.GatewayStatus](t, table, "gateways", "web").Listeners[0].AttachedRoutes
		if (attached == 1) != (tt.accepted == "True Accepted") {
			t.Errorf("%s: %d routes are attached", tt.name, attached)
		}
	}
}

func TestNamespacesOfRoutesAreLimited(t *testing.T) {
	for from, want := range map[string]int32{
		"": 0, "{from: Same}": 0, "{from: All}": 1, "{from: Selector, selector: {matchLabels: {name: other}}}": 1,
		"{from: Selector, selector: {matchLabels: {name: default}}}": 0,
	} {
		r := newRig()
		if from == "" {
			from = "{}"
		}
		r.gateway(t, "web", `[{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: `+from+`}}]`)
		r.http(t, "one", `{parentRefs: [{name: web, namespace: default}]}`).Namespace = "other"
		if got := status[gatewayv1.GatewayStatus](t, r.table(), "gateways", "web").Listeners[0].AttachedRoutes; got != want {
			t.Errorf("%s: %d", from, got)
		}
	}
}

func TestAStatusThatIsTrueIsNotWrittenAgain(t *testing.T) {
	r := newRig()
	g := r.gateway(t, "web", plain)
	h := r.http(t, "one", `{parentRefs: [{name: web}], rules: [{backendRefs: [{name: a, port: 80}]}]}`)
	foreign := gatewayv1.RouteParentStatus{ControllerName: "example.com/other", ParentRef: gatewayv1.ParentReference{Name: "theirs"}}
	h.Status.Parents = []gatewayv1.RouteParentStatus{foreign}
	table := r.table()
	g.Status = status[gatewayv1.GatewayStatus](t, table, "gateways", "web")
	h.Status.RouteStatus = status[gatewayv1.RouteStatus](t, table, "httproutes", "one")
	r.objects.Classes[0].Status = status[gatewayv1.GatewayClassStatus](t, table, "gatewayclasses", "skiff")
	if len(h.Status.Parents) != 2 || h.Status.Parents[0].ControllerName != foreign.ControllerName {
		t.Errorf("the part of another controller changed: %+v", h.Status.Parents)
	}
	r.environment.Now = noon.Add(time.Hour)
	if again := r.table().Statuses(); len(again) > 0 {
		t.Errorf("written again: %+v", again)
	}
	// A change of one condition keeps the times of the others.
	r.objects.HTTPRoutes[0].Spec.Rules[0].BackendRefs[0].Name = "gone"
	conditions := status[gatewayv1.RouteStatus](t, r.table(), "httproutes", "one").Parents[1].Conditions
	for _, c := range conditions {
		if moved := !c.LastTransitionTime.Time.Equal(noon); moved != (c.Type == "ResolvedRefs") {
			t.Errorf("%s changed at %s", c.Type, c.LastTransitionTime)
		}
	}
}

func TestAGatewayWithoutAnAddressIsNotProgrammed(t *testing.T) {
	r := newRig()
	g := r.gateway(t, "web", plain)
	for want, address := range map[string]Address{"False AddressNotAssigned": {}, "False AddressNotUsable": {Problem: "taken"}} {
		r.environment.Addresses[g.UID] = address
		table := r.table()
		if got := reason(status[gatewayv1.GatewayStatus](t, table, "gateways", "web").Conditions, "Programmed"); got != want || len(table.Ports()) > 0 {
			t.Errorf("%s, want %s, ports %v", got, want, table.Ports())
		}
	}
	g.Spec.Addresses = []gatewayv1.GatewaySpecAddress{{Type: ptr.To(gatewayv1.HostnameAddressType), Value: "x.test"}}
	if got := reason(status[gatewayv1.GatewayStatus](t, r.table(), "gateways", "web").Conditions, "Accepted"); got != "False UnsupportedAddress" {
		t.Error(got)
	}
}

func TestGatewaysOfOtherControllersAreLeftAlone(t *testing.T) {
	r := newRig()
	r.gateway(t, "web", plain).Spec.GatewayClassName = "theirs"
	r.http(t, "one", `{parentRefs: [{name: web}]}`)
	table := r.table()
	for _, s := range table.Statuses() {
		if s.Resource != "gatewayclasses" {
			t.Errorf("writes %+v", s)
		}
	}
	if len(table.Ports()) > 0 || len(Claims(r.objects)) > 0 {
		t.Error("it has ports or an address")
	}
}
