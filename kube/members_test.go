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

	"github.com/skiff-dev/skiff/kube/feed"
)

// controlPlanes returns a client of an API server with the given members. The
// value is the HTTP status of a member's proxied /readyz; a member with 0 is not
// an endpoint of the kubernetes service.
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
	respond := func(path string, object any) {
		answers.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(object)
		})
	}
	respond("/api/v1/nodes", nodes)
	respond("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", discoveryv1.EndpointSliceList{Items: []discoveryv1.EndpointSlice{slice}})
	server := httptest.NewServer(answers)
	t.Cleanup(server.Close)
	client, err := ForConfig("dev", &rest.Config{Host: server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestMembersQueriesEachAPIServer(t *testing.T) {
	client := controlPlanes(t, map[string]int{"healthy": 200, "failing": 500, "unreachable": 503, "forbidden": 403, "new": 0})
	want := map[string]string{"healthy": "ready", "failing": "not ready", "unreachable": "no response"}
	found := client.members(t.Context(), []feed.Lease{{Holder: "healthy_1"}})
	if len(found) != 5 {
		t.Fatalf("%d members", len(found))
	}
	for _, m := range found {
		if m.API != want[m.Name] || m.Ready != "True" || m.Leader != (m.Name == "healthy") || (m.Latency > 0) != (m.API == "ready" || m.API == "not ready") {
			t.Errorf("%+v", m)
		}
	}
}
