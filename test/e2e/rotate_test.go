package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// rotated is a cluster whose authorities are replaced, and what somebody kept of it.
type rotated struct {
	*kube
	name string
	// kubeconfig is the administrator's from before, and jane's that of another user.
	kubeconfig, janes string
	// token is a token of a service account from before.
	token string
	// programs are the processes of each node's programs.
	programs map[string]string
	// pods describes which containers run since when.
	pods    string
	changes chan string // what a watch from before has seen
}

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

// testRotateAuthorities replaces all authorities of a running cluster with one control
// plane, in which nothing may be started again.
func testRotateAuthorities(t *testing.T, r *rig) {
	const name = "rotating"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--workers", "1", "--control-planes", "1")
	r.load(t, name)
	c := keepOf(t, r, name)

	a := r.trySkiff(t, "pki", "rotate", name, "--only", "everything")
	equal(t, "exit code of an unknown authority", a.code, 2)
	before := c.described(t)
	c.rotate(t, "--prepare")
	contains(t, "problems", fmt.Sprint(r.status(t, name).Problems), "skiff pki rotate")
	c.stillWorks(t)
	c.rotate(t)
	equal(t, "problems", fmt.Sprint(r.status(t, name).Problems), "[]")
	c.stillWorks(t)
	for node, programs := range c.programs {
		equal(t, "programs of "+node, r.programs(t, name, node), programs)
	}
	c.oldIsRefused(t)
	c.watchContinues(t)
	if err := c.acceptsToken(t); err != nil {
		t.Errorf("an old token is refused before pods have new ones: %v", err)
	}
	c.allIsNew(t, before)

	c.rotate(t, "--revoke-tokens")
	if c.acceptsToken(t) == nil {
		t.Error("an old token is accepted")
	}
	c.stillWorks(t)
	if _, err := os.Stat(filepath.Join(home.Home(r.home).Cluster(name).PKI(), pki.RotationFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state of the rotation is still there: %v", err)
	}
	r.skiff(t, "up", name, "--workers", "2")
	r.load(t, name)
	c.run(t, "later")
	c.asksTheAPI(t, "later")
	contains(t, "nodes with metrics", c.kubectl(t, "get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"), "control-plane-1")
	r.skiff(t, "stop", name)
	r.skiff(t, "up", name)
	c.run(t, "at-last")
	c.asksTheAPI(t, "at-last")
}

// testRotateAuthoritiesOfThree replaces all authorities of a cluster with three control
// planes, which are restarted one after another for etcd.
func testRotateAuthoritiesOfThree(t *testing.T, r *rig) {
	const name = "rotating3"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--workers", "1", "--control-planes", "3")
	r.load(t, name)
	c := keepOf(t, r, name)
	before := c.described(t)
	c.rotate(t, "--revoke-tokens")
	c.stillWorks(t)
	c.oldIsRefused(t)
	if c.acceptsToken(t) == nil {
		t.Error("an old token is accepted")
	}
	c.allIsNew(t, before)
	contains(t, "members", r.skiff(t, "etcd", "members", name), "control-plane-1", "control-plane-2", "control-plane-3")
	r.skiff(t, "up", name, "--control-planes", "1")
	c.stillWorks(t)
}

// keepOf starts pods and a watch, and keeps credentials.
func keepOf(t *testing.T, r *rig, name string) *rotated {
	t.Helper()
	c := &rotated{kube: &kube{rig: r, context: "skiff-" + name, namespace: "default"}, name: name, programs: map[string]string{}, changes: make(chan string, 1)}
	c.kubeconfig, c.janes = filepath.Join(t.TempDir(), "admin"), filepath.Join(t.TempDir(), "jane")
	for path, args := range map[string][]string{
		c.kubeconfig: {"kubeconfig", name}, c.janes: {"kubeconfig", name, "--user", "jane", "--group", "dev"},
	} {
		if err := os.WriteFile(path, []byte(r.skiff(t, args...)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.run(t, "inside")
	c.token = strings.TrimSpace(c.kubectl(t, "create", "token", "default", "--duration=3h"))
	for _, n := range r.status(t, name).Nodes {
		c.programs[n.Name] = r.programs(t, name, n.Name)
	}
	c.pods = c.started(t)
	c.kubectl(t, "create", "configmap", "watched", "--from-literal", "k=before")
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	watch := exec.CommandContext(ctx, c.tool("kubectl"), "--kubeconfig", c.kubeconfig, "get", "configmap", "watched", "--watch", "-o", "jsonpath={.data.k}{\"\\n\"}")
	watch.Env = r.env
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		var seen strings.Builder
		buffer := make([]byte, 100)
		for !strings.Contains(seen.String(), "after") {
			n, err := out.Read(buffer)
			seen.Write(buffer[:n])
			if err != nil {
				break
			}
		}
		c.changes <- seen.String()
	}()
	return c
}

// run starts a pod that asks the API as its service account, once a second.
func (c *rotated) run(t *testing.T, pod string) {
	t.Helper()
	c.kubectl(t, "run", pod, "--image=skiff.test/workload:1", "--restart=Never", "--overrides", `{"spec":{"terminationGracePeriodSeconds":1}}`, "--command", "--",
		"sh", "-c", "while :; do workload get -ca "+account+"ca.crt -token "+account+"token https://kubernetes.default.svc/version >/dev/null && echo answered; sleep 1; done")
	c.wait(t, "condition=Ready", "pod/"+pod)
}

// started returns which containers run since when, and how often they restarted.
func (c *rotated) started(t *testing.T) string {
	t.Helper()
	return c.kubectl(t, "get", "pods", "--all-namespaces", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[*].state.running.startedAt} {.status.containerStatuses[*].restartCount}{\"\\n\"}{end}")
}

// rotateLimit is longer than that of other commands: programs take minutes to notice other
// authorities.
const rotateLimit = 20 * time.Minute

// rotate replaces authorities, and logs how long that took.
func (c *rotated) rotate(t *testing.T, args ...string) {
	t.Helper()
	a, err := c.rig.attempt(rotateLimit, filepath.Join(c.rig.root, "bin/skiff"), append([]string{"pki", "rotate", c.name}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("pki rotate %s: exit code %d in %.1f s\n%s%s", strings.Join(args, " "), a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		c.rig.dump(t, c.name)
		t.FailNow()
	}
}

func (c *rotated) described(t *testing.T) daemonapi.PKI {
	t.Helper()
	var described daemonapi.PKI
	if err := json.Unmarshal([]byte(c.rig.skiff(t, "pki", "status", c.name, "-o", "json")), &described); err != nil {
		t.Fatal(err)
	}
	return described
}

// stillWorks checks that users, pods and the API server reach each other, and that no pod
// has started again.
func (c *rotated) stillWorks(t *testing.T) {
	t.Helper()
	equal(t, "containers", c.started(t), c.pods)
	equal(t, "a program in a pod", c.kubectl(t, "exec", "inside", "--", "hostname"), "inside\n")
	c.asksTheAPI(t, "inside")
	if log := c.kubectl(t, "logs", "inside", "--tail=-1"); strings.Contains(strings.ReplaceAll(log, "answered\n", ""), "x509") {
		t.Errorf("a request of a pod failed:\n%s", strings.ReplaceAll(log, "answered\n", ""))
	}
	contains(t, "nodes with metrics", c.kubectl(t, "get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes"), "control-plane-1")
	for _, n := range c.rig.running(t, c.name).Nodes {
		equal(t, n.Name+" is Ready", n.Ready, "True")
	}
}

// asksTheAPI checks that a pod's requests succeed now.
func (c *rotated) asksTheAPI(t *testing.T, pod string) {
	t.Helper()
	eventually(t, waitLimit, pod+" asks the API", func() error {
		if log := c.kubectl(t, "logs", pod, "--since=4s"); !strings.Contains(log, "answered") {
			return fmt.Errorf("no answer: %s", log)
		}
		return nil
	})
}

// oldIsRefused checks that neither old authorities nor old certificates are of use.
func (c *rotated) oldIsRefused(t *testing.T) {
	t.Helper()
	a := c.try(t, "--kubeconfig", c.kubeconfig, "get", "nodes")
	contains(t, "an old kubeconfig", a.stderr, "certificate signed by unknown authority")
	for what, path := range map[string]string{"administrator": c.kubeconfig, "user": c.janes} {
		a := c.try(t, "--kubeconfig", path, "--insecure-skip-tls-verify", "get", "nodes")
		if a.code == 0 || !strings.Contains(a.stderr, "Unauthorized") && !strings.Contains(a.stderr, "must be logged in") {
			t.Errorf("the old certificate of the %s: exit code %d\n%s", what, a.code, a.stderr)
		}
	}
}

// watchContinues checks that a watch from before sees changes. It is a connection to the API
// server, which has not been started again.
func (c *rotated) watchContinues(t *testing.T) {
	t.Helper()
	c.kubectl(t, "patch", "configmap", "watched", "--patch", `{"data": {"k": "after"}}`)
	select {
	case seen := <-c.changes:
		contains(t, "a watch from before", seen, "after")
	case <-time.After(time.Minute):
		t.Error("a watch from before saw no change")
	}
}

// acceptsToken returns an error if the API refuses the old token.
func (c *rotated) acceptsToken(t *testing.T) error {
	t.Helper()
	a := c.try(t, "exec", "inside", "--", "sh", "-c", "echo "+c.token+" >/tmp/token && workload get -ca "+account+"ca.crt -token /tmp/token https://kubernetes.default.svc/api")
	if a.code != 0 {
		return errors.New(a.stderr)
	}
	return nil
}

// allIsNew checks that everything is signed by other keys than before.
func (c *rotated) allIsNew(t *testing.T, before daemonapi.PKI) {
	t.Helper()
	old := map[string]bool{}
	for _, a := range before.Authorities {
		old[a.ID] = true
	}
	after := c.described(t)
	equal(t, "number of certificates", len(after.Certificates), len(before.Certificates))
	for _, a := range after.Authorities {
		if old[a.ID] && a.Generation != "old" || a.Generation == "old" && a.Name != pki.ServiceAccounts {
			t.Errorf("authority %+v", a)
		}
	}
	for _, leaf := range after.Certificates {
		if old[leaf.Issuer] || leaf.Generation == "unknown" {
			t.Errorf("certificate %+v", leaf)
		}
	}
	dir := home.Home(c.rig.home).Cluster(c.name).PKI()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	authorities := c.kubectl(t, "get", "configmap", "extension-apiserver-authentication", "--namespace", "kube-system", "-o", "jsonpath={.data.client-ca-file}")
	roots := c.kubectl(t, "get", "configmap", "kube-root-ca.crt", "-o", "jsonpath={.data.ca\\.crt}")
	equal(t, "authorities for aggregated API servers", strings.Count(authorities, "BEGIN"), 1)
	equal(t, "authorities for pods", strings.TrimSpace(roots), strings.TrimSpace(authorities))
}
