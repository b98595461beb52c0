package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testAPIAddress gives the API of a running cluster a further address and name, and
// takes them away again.
func testAPIAddress(t *testing.T, r *rig, name string, k *kube) {
	const address, dns = "127.0.0.9", "api.test.example"
	file := filepath.Join(t.TempDir(), "other.kubeconfig")
	if err := os.WriteFile(file, []byte(r.skiff(t, "kubeconfig", name, "--server", address)), 0o600); err != nil {
		t.Fatal(err)
	}
	other := func(args ...string) commandResult {
		return r.run(t, r.tool("kubectl"), append([]string{"--kubeconfig", file, "--request-timeout", "10s", "get", "nodes", "-o", "name"}, args...)...)
	}
	refused := func() error {
		if a := other(); a.code == 0 || !strings.Contains(a.stderr, "refused") {
			return fmt.Errorf("exit code %d: %s%s", a.code, a.stdout, a.stderr)
		}
		return nil
	}
	if err := refused(); err != nil {
		t.Errorf("before: %v", err)
	}
	for want, args := range map[string][]string{
		`invalid apiAddress "example.com"`:                 {"--api-address", "example.com"},
		"apiAddress 192.0.2.1 is not an address of":        {"--api-address", "192.0.2.1"},
		`invalid entry "https://a.example" of apiServerSA`: {"--api-server-san", "https://a.example"},
	} {
		a := r.trySkiff(t, append([]string{"up", name}, args...)...)
		equal(t, "exit code of "+strings.Join(args, " "), a.code, 2)
		contains(t, "message", a.stderr, want)
	}

	r.skiff(t, "up", name, "--api-address", address, "--api-server-san", dns, "--kubeconfig", "none")
	for _, args := range [][]string{nil, {"--tls-server-name", dns}} {
		eventually(t, waitLimit, fmt.Sprintf("kubectl at the new address %v", args), func() error {
			if a := other(args...); a.code != 0 {
				return fmt.Errorf("%s", a.stderr)
			}
			return nil
		})
	}
	k.kubectl(t, "get", "nodes") // the usual address

	r.skiff(t, "up", name, "--api-address", "0.0.0.0", "--kubeconfig", "none")
	eventually(t, waitLimit, "all addresses", func() error {
		if a := other("--tls-server-name", dns); a.code != 0 {
			return fmt.Errorf("%s", a.stderr)
		}
		if a := k.try(t, "get", "nodes"); a.code != 0 {
			return fmt.Errorf("%s", a.stderr)
		}
		return nil
	})

	r.skiff(t, "up", name, "--api-address", "", "--api-server-san", "", "--kubeconfig", "none")
	eventually(t, waitLimit, "the further address is closed", refused)
	eventually(t, waitLimit, "the usual address answers", func() error {
		if a := k.try(t, "get", "nodes"); a.code != 0 {
			return fmt.Errorf("%s", a.stderr)
		}
		return nil
	})
}
