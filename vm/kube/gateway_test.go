package kube

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func TestAStatusReplacesTheOldOneOfTheSameVersion(t *testing.T) {
	var path, body string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		path, body = r.Method+" "+r.URL.Path, string(content)
		w.WriteHeader(status)
	}))
	defer server.Close()
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	object := GatewayObject{Resource: "gateways", Name: types.NamespacedName{Namespace: "default", Name: "web"}, Version: "7"}
	if err := c.SetGatewayStatus(t.Context(), object, gatewayv1.GatewayStatus{}); err != nil {
		t.Fatal(err)
	}
	if want := "PATCH /apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/web/status"; path != want {
		t.Errorf("%s, want %s", path, want)
	}
	if want := `{"metadata":{"resourceVersion":"7"},"status":{"addresses":null,"conditions":null,"listeners":null,"parents":null,"supportedFeatures":null}}`; body != want {
		t.Errorf("%s, want %s", body, want)
	}
	for code, fails := range map[int]bool{http.StatusConflict: false, http.StatusNotFound: false, http.StatusForbidden: true} {
		status = code
		if err := c.SetGatewayStatus(t.Context(), object, gatewayv1.GatewayStatus{}); (err != nil) != fails {
			t.Errorf("status %d: %v", code, err)
		}
	}
}
