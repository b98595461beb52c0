package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/home"
)

// legacyToken is a token of a service account that is kept in a Secret, and webhook one that
// is verified by the cluster's authority. It matches nothing.
const (
	legacyToken = `{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
		"metadata": {"name": "legacy", "annotations": {"kubernetes.io/service-account.name": "default"}}}`
	webhook = `{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "hook"},
		"webhooks": [{"name": "hook.skiff.test", "sideEffects": "None", "admissionReviewVersions": ["v1"],
			"clientConfig": {"url": "https://hook.skiff.test", "caBundle": %q},
			"rules": [{"apiGroups": ["skiff.test"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothings"]}]}]}`
)

// beforeClone makes objects that depend on the identity of a cluster.
func (r *rig) beforeClone(t *testing.T, k *kube) {
	t.Helper()
	authority := k.get(t, "configmap/kube-root-ca.crt", `.data.ca\.crt`)
	for _, object := range []string{legacyToken, fmt.Sprintf(webhook, base64.StdEncoding.EncodeToString([]byte(authority)))} {
		path := filepath.Join(t.TempDir(), "object.json")
		if err := os.WriteFile(path, []byte(object), 0o600); err != nil {
			t.Fatal(err)
		}
		k.kubectl(t, "apply", "-f", path)
	}
	eventually(t, waitLimit, "the token", func() error {
		if k.get(t, "secret/legacy", ".data.token") == "" {
			return errors.New("there is none")
		}
		return nil
	})
}

// clonesSnapshot makes clusters from a snapshot of a running one, also when the daemon is killed
// meanwhile. They have its data, and no key, certificate, token or ID of it.
func (r *rig) clonesSnapshot(t *testing.T, name string, k *kube) {
	t.Helper()
	const clone = "cloned"
	t.Cleanup(func() { r.discard(t, clone) })
	for _, wrong := range [][]string{
		{"up", clone, "--from", "nobody/before"}, {"up", clone, "--from", name + "/after"}, {"up", clone, "--from", name}, {"up", name, "--from", name + "/before"},
		{"up", clone, "--from", name + "/before", "--workers", "3"}, {"up", clone, "--from", name + "/before", "--driver", "lima"},
		{"up", clone, "--from", name + "/before", "-f", "skiff.yaml"},
	} {
		a := r.trySkiff(t, wrong...)
		if a.code != 2 || strings.Count(a.stderr, "\n") > 2 {
			t.Errorf("%q: exit code %d\n%s", wrong, a.code, a.stderr)
		}
	}
	if _, err := os.Stat(string(home.Home(r.home).Cluster(clone))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left by what was refused: %v", err)
	}
	contains(t, "dry run", r.skiff(t, "up", clone, "--from", name+"/before", "--dry-run"), "clone (from "+name+"/before)", "start worker-1")

	a := r.trySkiff(t, "up", clone, "--from", name+"/before")
	t.Logf("up --from: exit code %d in %.1f s\n%s%s", a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		r.dump(t, clone)
		t.FailNow()
	}
	c := &kube{rig: r, context: "skiff-" + clone, namespace: k.namespace}
	r.assertCloned(t, c)
	r.assertApart(t, name, clone, k, c)
	equal(t, "the ID of a node's machine", c.get(t, "node/worker-1", ".spec.providerID"), "skiff://"+name+"/worker-1")
	equal(t, "exit code of a second time", r.trySkiff(t, "up", clone, "--from", name+"/before").code, 2)

	// Both are used, and each has its own data.
	for of, value := range map[*kube]string{k: "first", c: "second"} {
		of.kubectl(t, "create", "configmap", "own", "--from-literal=is="+value)
		of.kubectl(t, "create", "job", "own", "--image=skiff.test/workload:1", "--", "true")
	}
	for of, value := range map[*kube]string{k: "first", c: "second"} {
		of.wait(t, "condition=Complete", "job/own")
		equal(t, "object of "+of.context, of.get(t, "configmap/own", ".data.is"), value)
	}
	r.skiff(t, "stop", clone)
	r.skiff(t, "up", clone, "--workers", "2")
	for _, n := range r.running(t, clone).Nodes {
		equal(t, n.Name+" is Ready", n.Ready, "True")
	}
	equal(t, "the ID of a later node", c.get(t, "node/worker-2", ".spec.providerID"), "skiff://"+clone+"/worker-2")
	r.skiff(t, "down", clone)
	r.assertNoTraces(t, clone)

	r.killWhileItClones(t, name, clone)
	r.skiff(t, "up", clone, "--from", name+"/before")
	r.assertCloned(t, c)
	r.skiff(t, "down", clone)
	r.assertNoTraces(t, clone)
	k.kubectl(t, "delete", "configmap/own", "job/own")
}

// assertCloned fails the test unless a clone has the data of the snapshot and its pods work.
func (r *rig) assertCloned(t *testing.T, c *kube) {
	t.Helper()
	equal(t, "object", c.get(t, "configmap/when", ".data.is"), "old")
	equal(t, "secret", c.get(t, "secret/key", ".data.is"), base64.StdEncoding.EncodeToString([]byte("old")))
	eventually(t, waitLimit, "the file", func() error { return r.file(c, "old") })
	// With the token and the authority with which the pod was started.
	c.asksAPI(t)
}

// asksAPI fails the test unless a pod can use the API.
func (k *kube) asksAPI(t *testing.T) {
	t.Helper()
	eventually(t, waitLimit, "a pod asks the API", func() error {
		a := k.try(t, "exec", "keeper", "--", "workload", "get", "-ca", account+"ca.crt", "-token", account+"token", "https://kubernetes.default.svc/version")
		if a.code != 0 {
			return errors.New(a.stderr)
		}
		return nil
	})
}

// killWhileItClones kills the daemon while it copies machines or starts them.
func (r *rig) killWhileItClones(t *testing.T, name, clone string) {
	t.Helper()
	command := r.background(t, "up", clone, "--from", name+"/before")
	dir := home.Home(r.home).Cluster(clone)
	eventually(t, waitLimit, "the clone is begun", func() error {
		_, staged := os.Lstat(dir.Restoring())
		_, made := os.Lstat(dir.State())
		if staged != nil && made != nil {
			return made
		}
		return nil
	})
	kill(t, dir.Holder())
	_ = command.Wait()
	t.Logf("killed: %s", command.output.String())
}

// assertApart fails the test if two clusters share anything by which they, their nodes or their
// users are identified, apart from what is named.
func (r *rig) assertApart(t *testing.T, name, clone string, k, c *kube, same ...string) {
	t.Helper()
	eventually(t, waitLimit, "the keys of the other cluster are gone", func() error {
		if notes := r.status(t, clone).Notes; len(notes) > 0 {
			return fmt.Errorf("%q", notes)
		}
		return nil
	})
	equal(t, "problems", fmt.Sprint(r.status(t, clone).Problems), "[]")
	equal(t, "origin", r.status(t, clone).Origin, name+"/before")
	r.assertNothingShared(t, name, clone, k, c, same...)
	roots := c.get(t, "configmap/kube-root-ca.crt", `.data.ca\.crt`)
	equal(t, "authority of aggregated APIs", strings.TrimSpace(c.kubectl(t, "get", "configmap", "extension-apiserver-authentication", "--namespace", "kube-system", "-o", "jsonpath={.data.client-ca-file}")), strings.TrimSpace(roots))
	bundle, err := base64.StdEncoding.DecodeString(c.get(t, "validatingwebhookconfiguration/hook", ".webhooks[0].clientConfig.caBundle"))
	if err != nil || !strings.Contains(string(bundle), strings.TrimSpace(roots)) {
		t.Errorf("the bundle of a webhook: %v\n%s", err, bundle)
	}
}

// assertNothingShared compares two clusters, each with the pod keeper and the secret of
// beforeClone, and fails the test if one accepts what identifies the other.
func (r *rig) assertNothingShared(t *testing.T, name, clone string, k, c *kube, same ...string) {
	t.Helper()
	for _, identify := range []func(*testing.T, string, *kube) map[string]string{r.authorities, r.onNodes, r.tokens, r.onHost} {
		ours, theirs := identify(t, clone, c), identify(t, name, k)
		if len(ours) == 0 || len(theirs) == 0 {
			t.Errorf("%d and %d things to compare", len(ours), len(theirs))
		}
		t.Logf("compared %d with %d", len(ours), len(theirs))
		for value, what := range ours {
			if other, ok := theirs[value]; ok && !slices.Contains(same, what) {
				t.Errorf("%s of the clone is %s of the other cluster", what, other)
			}
		}
	}
	// Neither accepts what the other does.
	for from, to := range map[string]*kube{name: c, clone: k} {
		path := filepath.Join(t.TempDir(), from)
		if err := os.WriteFile(path, []byte(r.skiff(t, "kubeconfig", from)), 0o600); err != nil {
			t.Fatal(err)
		}
		server := r.status(t, strings.TrimPrefix(to.context, "skiff-")).Server
		user := &kube{rig: r}
		a := user.try(t, "--kubeconfig", path, "--server", server, "get", "nodes")
		contains(t, "the authority of "+from, a.stderr, "certificate signed by unknown authority")
		a = user.try(t, "--kubeconfig", path, "--server", server, "--insecure-skip-tls-verify", "get", "nodes")
		if a.code == 0 || !strings.Contains(a.stderr, "Unauthorized") && !strings.Contains(a.stderr, "must be logged in") {
			t.Errorf("the certificate of %s: exit code %d\n%s", from, a.code, a.stderr)
		}
	}
	for from, to := range map[*kube]*kube{k: c, c: k} {
		for token, what := range r.tokens(t, "", from) {
			a := to.try(t, "exec", "keeper", "--", "sh", "-c", "echo "+token+" >/tmp/token && workload get -ca "+account+"ca.crt -token /tmp/token https://kubernetes.default.svc/api")
			if a.code == 0 || !strings.Contains(a.stdout+a.stderr, "401") {
				t.Errorf("%s of %s: exit code %d\n%s", what, from.context, a.code, a.stderr)
			}
		}
	}
}

// authorities returns the IDs of authorities and of what they have signed.
func (r *rig) authorities(t *testing.T, name string, _ *kube) map[string]string {
	t.Helper()
	all := map[string]string{}
	described := (&rotated{kube: &kube{rig: r}, name: name}).described(t)
	for _, a := range described.Authorities {
		all[a.ID], all[a.Fingerprint] = a.Name, a.Name
	}
	for _, l := range described.Certificates {
		all[l.Issuer] = "the issuer of " + l.Name
	}
	return all
}

// onNodes returns the IDs of nodes, and the sums of their certificates and keys.
func (r *rig) onNodes(t *testing.T, name string, k *kube) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, n := range r.running(t, name).Nodes {
		for _, id := range []string{"machineID", "bootID"} {
			all[k.get(t, "node/"+n.Name, ".status.nodeInfo."+id)] = id + " of " + n.Name
		}
		listed := r.skiff(t, "shell", "--cluster", name, n.Name, "--", "sh", "-c", "sha256sum /etc/machine-id $(find "+nodeconfig.PKIDir+" -name '*.crt' -o -name '*.key' -o -name '*.pub' -o -name '*.yaml')")
		for line := range strings.Lines(listed) {
			sum, path, _ := strings.Cut(strings.TrimSpace(line), " ")
			all[sum] = path + " of " + n.Name
		}
	}
	return all
}

// tokens returns tokens of service accounts.
func (r *rig) tokens(t *testing.T, _ string, k *kube) map[string]string {
	t.Helper()
	legacy, err := base64.StdEncoding.DecodeString(k.get(t, "secret/legacy", ".data.token"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		strings.TrimSpace(k.kubectl(t, "create", "token", "default")): "a new token",
		strings.TrimSpace(k.sh(t, "keeper", "cat "+account+"token")):  "the token of a pod",
		string(legacy): "the token in a secret",
	}
}

// Secrets in files: private keys, tokens, and keys for secrets at rest.
var secretsInFiles = []*regexp.Regexp{
	regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]+-----END`),
	regexp.MustCompile(`eyJhbGciOi[\w-]+\.[\w-]+\.[\w-]+`),
	regexp.MustCompile(`secret"?: "?[A-Za-z0-9+/]{43}=`),
}

// onHost returns the sums of the secrets in all files of a cluster and of its nodes' disks, apart
// from what images contain, and from the disks of VMs.
func (r *rig) onHost(t *testing.T, name string, _ *kube) map[string]string {
	t.Helper()
	all := map[string]string{}
	dir := home.Home(r.home).Cluster(name)
	err := filepath.WalkDir(string(dir), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was removed meanwhile
			return nil
		case err != nil:
			return err
		case entry.IsDir() && (slices.Contains([]string{dir.Snapshots(), dir.Images()}, path) || path == dir.Machines() && !r.sandboxed), entry.IsDir() && strings.HasSuffix(path, "/var/lib/containerd"):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // it was removed meanwhile
		}
		for _, secret := range secretsInFiles {
			for _, found := range secret.FindAll(content, -1) {
				all[fmt.Sprintf("%x", sha256.Sum256(bytes.TrimSpace(found)))] = path
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if paths := slices.Collect(maps.Values(all)); !slices.ContainsFunc(paths, func(p string) bool { return strings.HasSuffix(p, "ca.key") }) {
		t.Errorf("no key was found in %d secrets", len(paths))
	}
	return all
}
