package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// testRotateSecrets rotates the encryption key for secrets of a running cluster,
// twice.
func testRotateSecrets(t *testing.T, r *rig, name string, k *kube) {
	k = k.in(t)
	k.kubectl(t, "create", "secret", "generic", "hidden", "--from-literal", "k=kept")
	for round := range 2 {
		before := r.storedKeys(t, name)
		if len(before) != 1 {
			t.Fatalf("before: secrets are encrypted with %v", before)
		}
		var a commandResult
		if round == 0 {
			a = r.trySkiff(t, "secrets", "rotate", name)
		} else {
			a = r.trySkiff(t, "secrets", "rotate", name, "-o", "json")
			lines := strings.Split(strings.TrimSpace(a.stdout), "\n")
			var last daemonapi.Event
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || !last.Done {
				t.Errorf("the last line of -o json: %v\n%s", err, a.stdout)
			}
		}
		t.Logf("secrets rotate: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
		if a.code != 0 {
			t.FailNow()
		}
		after := r.storedKeys(t, name)
		for key := range before {
			if _, still := after[key]; still || len(after) != 1 {
				t.Errorf("secrets were encrypted with %v, now with %v", before, after)
			}
		}
		equal(t, "the secret", k.kubectl(t, "get", "secret", "hidden", "-o", "jsonpath={.data.k}"), "a2VwdA==")
	}
	equal(t, "problems", fmt.Sprint(r.status(t, name).Problems), "[]")
}

// storedKeys counts the secrets in etcd by the key that encrypts them.
func (r *rig) storedKeys(t *testing.T, name string) (keys map[string]int) {
	t.Helper()
	c := client.New(client.Config{Home: home.Home(r.home), Name: name})
	if err := c.OnControlPlane(t.Context(), func(_ string, c controlapi.Client) (err error) {
		keys, err = c.SecretKeys(t.Context())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return keys
}
