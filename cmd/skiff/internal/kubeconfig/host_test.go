package kubeconfig

import (
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/cluster"
)

func TestWithHostKeepsThePort(t *testing.T) {
	content, err := cluster.Kubeconfig("dev", 6443, map[string][]byte{"ca.crt": []byte("a"), "admin.crt": []byte("b"), "admin.key": []byte("c")})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"api.example.com": "https://api.example.com:6443\n", "192.0.2.1": "https://192.0.2.1:6443\n", "2001:db8::1": "https://[2001:db8::1]:6443\n"} {
		got, err := WithHost(content, host, "")
		if err != nil || !strings.Contains(string(got), "server: "+want) {
			t.Errorf("%s: %v\n%s", host, err, got)
		}
	}
	if got, err := WithHost(content, "api.dev.skiff.internal", "443"); err != nil || !strings.Contains(string(got), "server: https://api.dev.skiff.internal:443\n") {
		t.Errorf("with a port: %v\n%s", err, got)
	}
}
