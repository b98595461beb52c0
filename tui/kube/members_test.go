package kube

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/tui/feed"
)

// controlPlanes is an API server that knows of some members: by name their
// address and what asking them by way of it answers, 0 for a member that is no
// endpoint.
func controlPlanes(t *testing.T, members map[string]int) *Client {
	t.Helper()
	var nodes corev1.NodeList
	port := int32(6443)
	slice := discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Port: &port}}}
	answers := http.NewServeMux()
	for name, status := range members {
		nodes.Items = append(nodes.Items, corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Status: corev1.NodeStatus{
				Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "address-of-" + name}},
				Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			},
		})
		if status != 0 {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{"address-of-" + name}})
		}
		answers.HandleFunc("/api/v1/nodes/https:"+name+":6443/proxy/readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	tell := func(path string, object any) {
		answers.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(object)
		})
	}
	tell("/api/v1/nodes", nodes)
	tell("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", discoveryv1.EndpointSliceList{Items: []discoveryv1.EndpointSlice{slice}})
	server := httptest.NewServer(answers)
	t.Cleanup(server.Close)
	client, err := ForConfig("dev", &rest.Config{Host: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestEachMemberIsAsked(t *testing.T) {
	client := controlPlanes(t, map[string]int{"well": 200, "ill": 500, "gone": 503, "private": 403, "new": 0})
	want := map[string]string{"well": "ready", "ill": "not ready", "gone": "no response"}
	found := client.members(t.Context(), []feed.Lease{{Holder: "well_1"}})
	if len(found) != 5 {
		t.Fatalf("%d members", len(found))
	}
	for _, m := range found {
		if m.API != want[m.Name] || m.Ready != "True" || m.Leader != (m.Name == "well") || (m.Latency > 0) != (m.API == "ready" || m.API == "not ready") {
			t.Errorf("%+v", m)
		}
	}
}
