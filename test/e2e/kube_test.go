package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"
)

// kube runs kubectl on a cluster, in one namespace.
type kube struct {
	*rig
	context   string // of the kubeconfig; empty means the current one
	namespace string
	workers   []node // schedulable nodes
	nodes     []node
}

type node struct {
	name, address string
	schedulable   bool
}

type pod struct {
	name, node, ip string
	uid            string
	ready          bool
	restarts       int
}

// waitLimit is how long to wait for operations that are quick on a real machine.
const waitLimit = 4 * time.Minute

// pollPeriod is the time between two checks. Most checks run a program in a pod,
// which takes more than a second of CPU time on an emulated node.
const pollPeriod = 2 * time.Second

// try runs kubectl in the namespace, with any exit code.
func (k *kube) try(t *testing.T, args ...string) commandResult {
	t.Helper()
	return k.run(t, k.tool("kubectl"), k.arguments(args)...)
}

// anyway runs kubectl and ignores failures, for clean-up.
func (k *kube) anyway(args ...string) string {
	a, err := k.attempt(time.Minute, k.tool("kubectl"), k.arguments(args)...)
	if err != nil {
		return err.Error()
	}
	return a.stdout + a.stderr
}

// kubectl runs kubectl in the namespace, which must succeed, and returns its
// output.
func (k *kube) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return k.try(t, args...).must(t, append([]string{"kubectl"}, args...)...)
}

func (k *kube) arguments(args []string) []string {
	var all []string
	if k.context != "" {
		all = append(all, "--context", k.context)
	}
	if k.namespace != "" {
		all = append(all, "--namespace", k.namespace)
	}
	return append(all, args...)
}

// apply applies a manifest of testdata.
func (k *kube) apply(t *testing.T, file string) {
	t.Helper()
	k.kubectl(t, "apply", "-f", filepath.Join("testdata", file))
}

// wait waits for a condition of `kubectl wait`. That fails at once if the conditions of an
// object are null, as those of a CustomResourceDefinition are until its first controller
// has seen it, so it is repeated then.
func (k *kube) wait(t *testing.T, condition string, objects ...string) {
	t.Helper()
	args := append([]string{"wait", "--for=" + condition, "--timeout=" + waitLimit.String()}, objects...)
	eventually(t, waitLimit, condition+" of "+strings.Join(objects, " "), func() error {
		a := k.try(t, args...)
		if a.code != 0 && strings.Contains(a.stderr, ".status.conditions accessor error: <nil>") {
			return errors.New(a.stderr)
		}
		a.must(t, append([]string{"kubectl"}, args...)...)
		return nil
	})
}

// rollout waits until a workload is rolled out.
func (k *kube) rollout(t *testing.T, object string) {
	t.Helper()
	k.kubectl(t, "rollout", "status", object, "--timeout="+waitLimit.String())
}

// sh runs a shell line in a pod.
func (k *kube) sh(t *testing.T, pod, line string) string {
	t.Helper()
	return k.kubectl(t, "exec", pod, "--", "sh", "-c", line)
}

// get returns a field of an object. path is JSONPath without the braces.
func (k *kube) get(t *testing.T, object, path string) string {
	t.Helper()
	return k.kubectl(t, "get", object, "-o", "jsonpath={"+path+"}")
}

// pods returns the pods that a selector matches, sorted by node and name. Pods
// that are being deleted are left out.
func (k *kube) pods(t *testing.T, selector string) []pod {
	t.Helper()
	var list struct {
		Items []struct {
			Metadata struct {
				Name, UID         string
				DeletionTimestamp *time.Time
			}
			Spec   struct{ NodeName string }
			Status struct {
				PodIP             string
				Conditions        []struct{ Type, Status string }
				ContainerStatuses []struct{ RestartCount int }
			}
		}
	}
	out := k.kubectl(t, "get", "pods", "-l", selector, "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	var pods []pod
	for _, item := range list.Items {
		if item.Metadata.DeletionTimestamp != nil {
			continue
		}
		p := pod{name: item.Metadata.Name, uid: item.Metadata.UID, node: item.Spec.NodeName, ip: item.Status.PodIP}
		for _, condition := range item.Status.Conditions {
			p.ready = p.ready || condition.Type == "Ready" && condition.Status == "True"
		}
		for _, container := range item.Status.ContainerStatuses {
			p.restarts += container.RestartCount
		}
		pods = append(pods, p)
	}
	sort.Slice(pods, func(i, j int) bool { return pods[i].node+pods[i].name < pods[j].node+pods[j].name })
	return pods
}

// discover reads the nodes.
func (k *kube) discover(t *testing.T) {
	t.Helper()
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct {
				Unschedulable bool
				Taints        []struct{ Effect string }
			}
			Status struct {
				Addresses []struct{ Type, Address string }
			}
		}
	}
	if err := json.Unmarshal([]byte(k.kubectl(t, "get", "nodes", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	k.nodes, k.workers = nil, nil
	for _, item := range list.Items {
		n := node{name: item.Metadata.Name, schedulable: !item.Spec.Unschedulable}
		for _, taint := range item.Spec.Taints {
			// A node may have not-ready:NoExecute for some seconds, which pods tolerate.
			n.schedulable = n.schedulable && taint.Effect != "NoSchedule"
		}
		for _, address := range item.Status.Addresses {
			if address.Type == "InternalIP" && n.address == "" { // IPv4 comes first
				n.address = address.Address
			}
		}
		k.nodes = append(k.nodes, n)
		if n.schedulable {
			k.workers = append(k.workers, n)
		}
	}
}

// in creates a namespace for a test, named after it. It is deleted after the test,
// and saved to build/e2e if the test failed.
func (k *kube) in(t *testing.T) *kube {
	t.Helper()
	short := t.Name()[strings.LastIndex(t.Name(), "/")+1:]
	name := strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(short, "-"))
	if len(name) > 50 {
		name = strings.Trim(name[:50], "-")
	}
	own := *k
	own.namespace = name
	own.kubectl(t, "create", "namespace", name)
	// Pods are rejected until the namespace has its service account.
	own.wait(t, "create", "serviceaccount/default")
	t.Cleanup(func() {
		if t.Failed() {
			own.describe(t)
		}
		if !own.keep || !t.Failed() {
			own.anyway("delete", "namespace", name, "--wait=false")
		}
	})
	return &own
}

// describe saves the state of the namespace, for the analysis of a failure.
func (k *kube) describe(t *testing.T) {
	dir := "failed-" + k.namespace
	k.save(t, k.anyway("get", "all,pvc,endpointslices,networkpolicies", "-o", "wide"), dir, "objects.txt")
	k.save(t, k.anyway("get", "events", "--sort-by", ".lastTimestamp"), dir, "events.txt")
	k.save(t, k.anyway("describe", "pods"), dir, "pods.txt")
	names := k.anyway("get", "pods", "-o", "name")
	for _, name := range strings.Fields(names) {
		if strings.HasPrefix(name, "pod/") {
			log := k.anyway("logs", name, "--all-containers", "--tail", "200")
			k.save(t, log, dir, strings.TrimPrefix(name, "pod/")+".log")
		}
	}
	t.Logf("the state of namespace %s is in build/e2e/%s", k.namespace, dir)
}

// waitForAnswers sends requests from a pod until all wanted answers were received.
func (k *kube) waitForAnswers(t *testing.T, from, url string, want ...string) {
	t.Helper()
	eventually(t, waitLimit, fmt.Sprintf("answers of %s to %s", url, from), func() error {
		a := k.try(t, "exec", from, "--", "workload", "get", "-n", "10", url)
		if a.code != 0 {
			return fmt.Errorf("exit code %d: %s", a.code, a.stderr)
		}
		for _, name := range want {
			if !strings.Contains(a.stdout, name+"\n") {
				return fmt.Errorf("no answer %q in %q", name, strings.Fields(a.stdout))
			}
		}
		return nil
	})
}
