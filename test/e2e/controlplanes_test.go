package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// testControlPlanes writes through the host's load balancer while the cluster
// grows from one control plane to three, loses its leader, is repaired, loses all
// machines at once, is started again and shrinks. No acknowledged write may be
// lost, and no write may fail while it grows, is repaired or shrinks.
func testControlPlanes(t *testing.T, r *rig, name string, k *kube) {
	if !r.sandboxed && !r.chosen {
		t.Skip("two additional control planes take minutes with emulation; SKIFF_E2E_DRIVER=lima runs it")
	}
	k = k.in(t)
	w := r.writer(t, k)
	w.during(t, "growing to three", true, func() { r.upWith(t, name, "3") })
	members := r.members(t, name)
	equal(t, "members", len(members), 3)
	for _, m := range members {
		if m.Learner {
			t.Errorf("%s is still a learner", m.Name)
		}
	}
	leader := members[slices.IndexFunc(members, func(m member) bool { return m.Leader })].Name
	w.during(t, "losing the leader "+leader, false, func() {
		kill(t, r.machine(t, name, leader).pid)
		eventually(t, waitLimit, "status reports that the machine stopped", func() error {
			if phase := r.status(t, name).Phase; phase != "degraded" {
				return errors.New(phase)
			}
			return nil
		})
		w.waitForWrite(t)
	})
	// The new leader also runs the cloud's controllers.
	k.create(t, service("after-the-leader", ""))
	k.balancer(t, "after-the-leader")
	w.during(t, "repairing", true, func() { r.upWith(t, name, "3") })
	addresses := r.addresses(t, name)

	// As when the host loses power: the machines end with their daemon.
	w.stop()
	kill(t, r.status(t, name).DaemonPID)
	r.upWith(t, name, "3")
	equal(t, "addresses", r.addresses(t, name), addresses)
	w.assertKept(t)

	w.start()
	w.during(t, "shrinking to one", true, func() { r.upWith(t, name, "1") })
	w.stop()
	w.assertKept(t)
	equal(t, "members", len(r.members(t, name)), 1)
	nodes := k.kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")
	equal(t, "nodes without machines are gone", nodes, "control-plane-1 worker-1 worker-2")
}

func (r *rig) upWith(t *testing.T, name, controlPlanes string) {
	t.Helper()
	a := r.trySkiff(t, "up", name, "--control-planes", controlPlanes)
	t.Logf("up --control-planes %s: exit code %d in %.1f s\n%s%s", controlPlanes, a.code, a.took.Seconds(), a.stdout, a.stderr)
	if a.code != 0 {
		r.dump(t, name)
		t.FailNow()
	}
}

// member holds the decoded fields of "skiff etcd members -o json".
type member struct {
	Name    string `json:"name"`
	Leader  bool   `json:"leader"`
	Learner bool   `json:"learner"`
}

func (r *rig) members(t *testing.T, name string) (members []member) {
	t.Helper()
	r.skiffJSON(t, &members, "etcd", "members", name)
	return members
}

func (r *rig) addresses(t *testing.T, name string) string {
	t.Helper()
	var all []string
	for _, n := range r.status(t, name).Nodes {
		all = append(all, fmt.Sprint(n.Name, " ", n.Address))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// writer creates ConfigMaps continuously, and records which ones were
// acknowledged.
type writer struct {
	client    kubernetes.Interface
	namespace string
	cancel    context.CancelFunc
	done      chan struct{}

	mu    sync.Mutex // guards what follows
	next  int
	acked []string
	last  time.Time // of the last acknowledgement
	gap   time.Duration
	fails []string
}

func (r *rig) writer(t *testing.T, k *kube) *writer {
	t.Helper()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: r.kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: k.context}).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Timeout = -1, 30*time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{client: client, namespace: k.namespace}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *writer) start() {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan struct{})
	go func() {
		defer close(w.done)
		for ctx.Err() == nil {
			w.write(ctx)
			time.Sleep(20 * time.Millisecond)
		}
	}()
}

func (w *writer) stop() {
	w.cancel()
	<-w.done
}

func (w *writer) write(ctx context.Context) {
	w.mu.Lock()
	w.next++
	name := fmt.Sprintf("write-%d", w.next)
	w.mu.Unlock()
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"by": "writer"}}}
	_, err := w.client.CoreV1().ConfigMaps(w.namespace).Create(ctx, m, metav1.CreateOptions{})
	if ctx.Err() != nil {
		return // the result of the write is unknown
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil, apierrors.IsAlreadyExists(err): // client-go retried after a broken connection
		if !w.last.IsZero() {
			w.gap = max(w.gap, now.Sub(w.last))
		}
		w.acked, w.last = append(w.acked, name), now
	default:
		w.fails = append(w.fails, err.Error())
	}
}

// during runs do and logs the writes meanwhile. If noFailures is set, none of them
// may fail.
func (w *writer) during(t *testing.T, what string, noFailures bool, do func()) {
	t.Helper()
	w.mu.Lock()
	before := len(w.acked)
	w.gap, w.fails, w.last = 0, nil, time.Now()
	w.mu.Unlock()
	do()
	w.waitForWrite(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%s: %d writes acknowledged, %d failed, longest time between two %.1f s; %s",
		what, len(w.acked)-before, len(w.fails), w.gap.Seconds(), strings.Join(w.fails, "; "))
	if noFailures && len(w.fails) > 0 {
		t.Errorf("%s: %d writes failed", what, len(w.fails))
	}
}

// waitForWrite waits for one more write.
func (w *writer) waitForWrite(t *testing.T) {
	t.Helper()
	count := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.acked) }
	before := count()
	eventually(t, waitLimit, "a write is acknowledged", func() error {
		if count() == before {
			return errors.New("none")
		}
		return nil
	})
}

// assertKept checks that all acknowledged writes exist.
func (w *writer) assertKept(t *testing.T) {
	t.Helper()
	list, err := w.client.CoreV1().ConfigMaps(w.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "by=writer"})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, m := range list.Items {
		there[m.Name] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range w.acked {
		if !there[name] {
			t.Errorf("%s was acknowledged but is lost", name)
		}
	}
	t.Logf("%d writes acknowledged, %d objects found", len(w.acked), len(there))
}
