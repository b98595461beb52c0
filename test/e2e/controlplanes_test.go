package e2e

import (
	"context"
	"encoding/json"
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

// testControlPlanes writes through the host's load balancer all the while: the cluster
// grows from one control plane to three, loses the one that leads, heals, loses
// all of its machines at once, comes back and shrinks. Writes go on, and none that
// was acknowledged is lost; growing, healing and shrinking fail none.
func testControlPlanes(t *testing.T, r *rig, name string, k *kube) {
	if !r.sandboxed && !r.chosen {
		t.Skip("two control planes more take minutes under emulation; SKIFF_E2E_DRIVER=lima runs it")
	}
	k = k.in(t)
	w := r.writer(t, k)
	w.during(t, "growing to three", true, func() { r.upWith(t, name, "3") })
	members := r.members(t, name)
	equal(t, "members", len(members), 3)
	for _, m := range members {
		if m.Learner {
			t.Errorf("%s has no vote", m.Name)
		}
	}
	leader := members[slices.IndexFunc(members, func(m member) bool { return m.Leader })].Name
	w.during(t, "losing "+leader+", which led", false, func() {
		kill(t, r.machine(t, name, leader).pid)
		eventually(t, patience, "status says that the machine ended", func() error {
			if phase := r.status(t, name).Phase; phase != "degraded" {
				return errors.New(phase)
			}
			return nil
		})
		w.works(t)
	})
	w.during(t, "healing", true, func() { r.upWith(t, name, "3") })
	addresses := r.addresses(t, name)

	// As a host that is switched off: the machines end with their daemon.
	w.stop()
	kill(t, r.status(t, name).DaemonPID)
	r.upWith(t, name, "3")
	equal(t, "addresses", r.addresses(t, name), addresses)
	w.kept(t)

	w.start()
	w.during(t, "shrinking to one", true, func() { r.upWith(t, name, "1") })
	w.stop()
	w.kept(t)
	equal(t, "members", len(r.members(t, name)), 1)
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

// member is what is read of "skiff etcd members -o json".
type member struct {
	Name    string `json:"name"`
	Leader  bool   `json:"leader"`
	Learner bool   `json:"learner"`
}

func (r *rig) members(t *testing.T, name string) (members []member) {
	t.Helper()
	out := r.skiff(t, "etcd", "members", name, "-o", "json")
	if err := json.Unmarshal([]byte(out), &members); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
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

// writer makes one ConfigMap after the other, and remembers which the API
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
		return // whether it was written is open
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil, apierrors.IsAlreadyExists(err): // a connection broke after the write, and client-go tried again
		if !w.last.IsZero() {
			w.gap = max(w.gap, now.Sub(w.last))
		}
		w.acked, w.last = append(w.acked, name), now
	default:
		w.fails = append(w.fails, err.Error())
	}
}

// during says what became of the writes while do ran.
func (w *writer) during(t *testing.T, what string, unharmed bool, do func()) {
	t.Helper()
	w.mu.Lock()
	before := len(w.acked)
	w.gap, w.fails, w.last = 0, nil, time.Now()
	w.mu.Unlock()
	do()
	w.works(t)
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%s: %d writes acknowledged, %d failed, longest time between two %.1f s; %s",
		what, len(w.acked)-before, len(w.fails), w.gap.Seconds(), strings.Join(w.fails, "; "))
	if unharmed && len(w.fails) > 0 {
		t.Errorf("%s: %d writes failed", what, len(w.fails))
	}
}

// works waits for one more write.
func (w *writer) works(t *testing.T) {
	t.Helper()
	count := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.acked) }
	before := count()
	eventually(t, patience, "a write is acknowledged", func() error {
		if count() == before {
			return errors.New("none")
		}
		return nil
	})
}

// kept checks that all that was acknowledged is there.
func (w *writer) kept(t *testing.T) {
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
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	t.Logf("%d writes acknowledged, all of %d looked for", len(w.acked), len(there))
}
