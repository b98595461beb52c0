package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// noon is the current time in all tests.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// fakeHost has a running cluster "dev" and a stopped cluster "ci".
type fakeHost struct {
	mu    sync.Mutex // guards what follows
	ran   []string   // titles of operations
	tasks []feed.Task
	api   *fakeAPI
	down  bool
	// paused reports whether "dev" is paused.
	paused bool
	// certificates is the remaining validity of the nodes' certificates.
	certificates time.Duration
	problems     []string // of "dev"
	refused      string   // error of every command, if not empty
	measured     []string // expressions and spans
	searched     []feed.StoredLogs
	// connected counts connections.
	connected int
}

func (h *fakeHost) Clusters(context.Context) ([]daemonapi.ClusterStatus, error) {
	started := noon.Add(-3 * time.Hour)
	node := func(name, role, address string) daemonapi.NodeStatus {
		return daemonapi.NodeStatus{
			Name: name, Role: role, Address: address, Machine: "running", Agent: true, Ready: "True", CPUs: 2, MemoryMiB: 2048,
			HostMemoryMiB: 391, HostCPUSeconds: 812, DiskUsedBytes: 3 << 29, Started: started,
			Certificates: []nodeapi.Certificate{{Name: "etcd/peer", Expires: noon.Add(h.certificates)}, {Name: "apiserver", Expires: noon.Add(9000 * time.Hour)}},
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	phase := "running"
	if h.paused {
		phase = "paused"
		node = func(name, role, address string) daemonapi.NodeStatus {
			return daemonapi.NodeStatus{
				Name: name, Role: role, Address: address, Machine: "paused", CPUs: 2, MemoryMiB: 2048, HostMemoryMiB: 391, DiskUsedBytes: 3 << 29, Started: started,
			}
		}
	}
	return []daemonapi.ClusterStatus{
		{Name: "ci", Phase: "stopped", Driver: "lima", Kubernetes: "v1.36.3", Nodes: []daemonapi.NodeStatus{
			{Name: "control-plane-1", Role: "control-plane", Machine: "stopped", Address: "192.168.104.11", CPUs: 2, MemoryMiB: 2048, DiskUsedBytes: 1 << 30},
		}},
		{
			Name: "dev", Phase: phase, Driver: "lima", Accelerator: "QEMU with KVM", Server: "https://127.0.0.1:6443", APIReady: !h.paused, Kubernetes: "v1.36.3",
			Nodes: []daemonapi.NodeStatus{
				node("control-plane-1", "control-plane", "192.168.104.11"), node("worker-1", "worker", "192.168.104.21"), node("worker-2", "worker", "192.168.104.22"),
			},
			Timings: map[string]float64{"boot": 3.1, "join": 2.2, "ready": 0.7}, Problems: h.problems,
		},
	}, nil
}

func (h *fakeHost) NodeStatus(_ context.Context, _, node string) (nodeapi.Status, error) {
	return nodeapi.Status{
		Node: node, MemoryTotalKiB: 2 << 20, MemoryAvailableKiB: 13 << 17, DiskTotalBytes: 20 << 30, DiskFreeBytes: 18 << 30,
		Programs: []nodeapi.Program{{Name: "containerd", PID: 90}, {Name: "nodeagent", PID: 91, Restarts: 1}},
	}, nil
}

func (h *fakeHost) Services(_ context.Context, cluster string) (daemonapi.Services, error) {
	if cluster != "dev" {
		return daemonapi.Services{}, fmt.Errorf("cluster %q is not running", cluster)
	}
	return daemonapi.Services{
		Services: []daemonapi.Service{{Namespace: "shop", Name: "store", Type: "LoadBalancer", Ready: true, Ports: []daemonapi.ServicePort{
			{Protocol: "TCP", Port: 80, Host: []string{"127.0.0.1:8080", "127.80.1.2:80"}, Problem: "port 80 on 127.0.0.1 is in use"},
		}}},
		Names: []daemonapi.WebName{
			{Namespace: "default", Name: "kubernetes", URL: "http://kubernetes.default.dev.localhost:7080"},
			{Namespace: "shop", Name: "store", URL: "http://store.shop.dev.localhost:7080"}, {Namespace: "shop", Name: "web", URL: "http://web.shop.dev.localhost:7080"},
		},
		Ingresses: []daemonapi.Ingress{{Namespace: "shop", Name: "web", URLs: []string{"http://shop.localhost:7080", "http://shop.example.com:7080"}, Message: "shop.example.com must resolve to 127.0.0.1 on this host"}},
		Ports:     []daemonapi.Port{{Port: "5432:pod/db-0", Protocol: "TCP", Target: "pod/db-0", Host: "127.0.0.1:5432"}, {Port: "53:svc/dns/udp", Protocol: "UDP", Target: "svc/dns", Problem: "UDP port 53 is in use"}},
	}, nil
}

func (h *fakeHost) Measure(_ context.Context, cluster, expression string, span time.Duration, points int) ([]float64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.measured = append(h.measured, expression+" "+span.String())
	if cluster != "dev" {
		return nil, fmt.Errorf("cluster %q is not running", cluster)
	}
	values := make([]float64, points)
	for i := range values {
		values[i] = math.NaN() // nothing was recorded before
		if i > points/4 {
			values[i] = 1.2 + math.Sin(float64(i)/9)
		}
		if !strings.Contains(expression, "cpu") {
			values[i] *= 300 << 20
		}
	}
	return values, nil
}

func (h *fakeHost) StoredLogs(_ context.Context, need feed.StoredLogs) ([]feed.Line, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.searched = append(h.searched, need)
	if need.Query == "(" {
		return nil, errors.New("the log store rejected the query: unexpected end")
	}
	return []feed.Line{
		{Source: "gone-1/web", At: noon.Add(-2 * time.Minute), Text: "the first run"}, {Source: "gone-1/web#1", At: noon.Add(-time.Minute), Text: `{"level":"error","msg":"out of paper","tray":2}`},
	}, nil
}

func (h *fakeHost) Browse(_ context.Context, url string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused != "" {
		return errors.New(h.refused)
	}
	h.ran = append(h.ran, "browse "+url)
	return nil
}

func (h *fakeHost) Connect(context.Context, string) (Kubernetes, error) {
	h.mu.Lock()
	h.connected++
	h.mu.Unlock()
	if h.down {
		return nil, fmt.Errorf("cluster %q is not running", "dev")
	}
	return h.api, nil
}

func (h *fakeHost) Verbs() map[string]bool {
	return map[string]bool{"up": true, "down": true, "status": true, "stop": true, "pause": true, "resume": true, "shell": true}
}

func (h *fakeHost) EtcdMembers(_ context.Context, cluster string) ([]controlapi.EtcdMember, error) {
	if cluster != "dev" {
		return nil, fmt.Errorf("cluster %q is not running", cluster)
	}
	return []controlapi.EtcdMember{{Name: "control-plane-1", Leader: true, DatabaseBytes: 3145728, InUseBytes: 2097152, RaftIndex: 4711}}, nil
}

func (h *fakeHost) Operate(_ context.Context, o machine.Operation, _ io.Reader, out io.Writer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused != "" {
		fmt.Fprintf(out, "skiff: %s; lower-case letters, digits and dashes, and no more than 40 of them\n", h.refused)
		return fmt.Errorf("%s: %s", o.Title(), h.refused)
	}
	h.ran = append(h.ran, o.Title())
	_, h.paused = o.(machine.Pause)
	h.paused = h.paused || o.Title() == "skiff pause dev"
	fmt.Fprintln(out, "   0.1s  cluster          prepare       done in 0.1s")
	fmt.Fprintln(out, "   3.2s  worker-1         boot          done in 3.1s")
	return nil
}

// Run implements Ports.
func (h *fakeHost) Run(ctx context.Context, emit func(any)) {
	emit(feed.ForwardList{All: []feed.Forwarded{{
		ID: "1", Ref: object.Ref{Cluster: "dev", Resource: object.Pods, Namespace: "shop", Name: "web-7d9c5b8f4-x2x9k"},
		Local: 18080, Remote: "8080", Pod: "web-7d9c5b8f4-x2x9k", State: "connected", Conns: 2, Since: noon.Add(-time.Minute),
	}}})
	<-ctx.Done()
}

// Stop implements Ports.
func (h *fakeHost) Stop(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ran = append(h.ran, "stop forward "+id)
}

// fakeAPI answers needs with the data that a test has set.
type fakeAPI struct {
	host   *fakeHost
	mu     sync.Mutex // guards what follows
	tables map[string]object.Table
	fresh  object.Freshness
	facts  feed.Facts
	emits  map[string]func(any)
	mute   bool          // deliver nothing
	refuse string        // error of every task, if not empty
	delay  time.Duration // of facts
}

func live() object.Freshness { return object.Freshness{State: object.Live, At: noon} }

func (a *fakeAPI) Run(ctx context.Context, need feed.Need, emit func(any)) {
	a.mu.Lock()
	a.emits[need.Key()] = emit
	if a.mute {
		a.mu.Unlock()
		<-ctx.Done()
		return
	}
	switch n := need.(type) {
	case feed.Objects:
		t := a.tables[n.Resource.ID()]
		t.Cluster, t.Resource, t.Freshness = n.Cluster, n.Resource, a.fresh
		t.Rows = rowsOf(t.Rows, n)
		emit(t)
	case feed.Catalog:
		emit(feed.Resources{Cluster: n.Cluster, All: served, Freshness: a.fresh})
	case feed.Text:
		emit(feed.Document{Text: texts[n.Kind], Freshness: a.fresh})
	case feed.Logs:
		emit(feed.Lines{Lines: logLines, Freshness: a.fresh})
	case feed.Usage:
		emit(usage(n.Cluster))
	case feed.ControlPlane:
		emit(control(n.Cluster))
	case feed.PodContainers:
		emit(feed.Containers{All: webContainers, Freshness: a.fresh})
	case feed.Tree:
		emit(feed.Ownership{Root: family, Freshness: a.fresh})
	}
	a.mu.Unlock()
	<-ctx.Done()
}

func rowsOf(all []*object.Row, n feed.Objects) []*object.Row {
	var rows []*object.Row
	for _, r := range all {
		if len(n.Namespaces) > 0 && r.Namespace != "" && !strings.Contains(" "+strings.Join(n.Namespaces, " ")+" ", " "+r.Namespace+" ") {
			continue
		}
		one := *r
		one.Cluster = n.Cluster
		rows = append(rows, &one)
	}
	return rows
}

func (a *fakeAPI) Do(_ context.Context, task feed.Task, out io.Writer) error {
	a.host.mu.Lock()
	defer a.host.mu.Unlock()
	a.host.tasks = append(a.host.tasks, task)
	if a.refuse != "" {
		return errors.New(a.refuse)
	}
	fmt.Fprintf(out, "%s done\n", task.Title())
	return nil
}

func (a *fakeAPI) Interactive(context.Context, feed.Task, io.Reader, io.Writer) error { return nil }

func (a *fakeAPI) Facts(ctx context.Context, _ object.Ref) (feed.Facts, error) {
	return a.facts, pause.For(ctx, a.delay)
}

func (a *fakeAPI) Forward(_ context.Context, ref object.Ref, local int, remote string) (int, error) {
	return 18080, nil
}

// player drives a model: it runs the model's commands and passes their messages
// back, until there are no more.
type player struct {
	t    *testing.T
	m    *Model
	host *fakeHost
	msgs chan tea.Msg
	// execs counts how often a task took over the terminal.
	execs int
}

func play(t *testing.T, width, height int, config Config, body func(p *player)) {
	t.Helper()
	playOn(t, width, height, config, false, body)
}

// playOn is play with a cluster that, if mute, delivers nothing.
func playOn(t *testing.T, width, height int, config Config, mute bool, body func(p *player)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		host := &fakeHost{certificates: 8000 * time.Hour}
		host.api = &fakeAPI{host: host, tables: tables(), fresh: live(), mute: mute, emits: map[string]func(any){}, facts: feed.Facts{
			Selector: "app=web", Ports: []string{"8080"}, Containers: []string{"web", "metrics"}, Replicas: 4, Node: "worker-2", Loss: []string{"It has 4 pods, 3 of them running."},
		}}
		config.Host, config.Ports = host, host
		config.Now = func() time.Time { return noon }
		if config.Settings.Keys.In() == nil {
			config.Settings.Keys = keys.Default()
		}
		p := &player{t: t, host: host, msgs: make(chan tea.Msg, 1000)}
		p.m = New(t.Context(), config)
		p.run(p.m.Init())
		p.send(tea.WindowSizeMsg{Width: width, Height: height})
		p.settle()
		body(p)
		p.m.Close()
		time.Sleep(time.Minute) // let timers fire
	})
}

func (p *player) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	go func() {
		switch msg := cmd().(type) {
		case nil, tickMsg:
		case tea.BatchMsg:
			for _, c := range msg {
				p.run(c)
			}
		default:
			p.msgs <- msg
		}
	}()
}

func (p *player) send(msg tea.Msg) {
	if fmt.Sprintf("%T", msg) == "tea.execMsg" {
		p.execs++
	}
	_, cmd := p.m.Update(msg)
	p.m.Frame() // as bubbletea does
	p.run(cmd)
}

// settle handles messages until there have been none for a while.
func (p *player) settle() {
	for {
		synctest.Wait()
		select {
		case msg := <-p.msgs:
			p.send(msg)
			continue
		default:
		}
		time.Sleep(3 * feed.Interval)
		synctest.Wait()
		if len(p.msgs) == 0 {
			return
		}
	}
}

// named are the keys that are not text.
var named = map[string]tea.KeyPressMsg{
	"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "tab": {Code: tea.KeyTab}, "up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown},
	"space": {Code: tea.KeySpace, Text: " "}, "ctrl+d": {Code: 'd', Mod: tea.ModCtrl}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl},
	"ctrl+a": {Code: 'a', Mod: tea.ModCtrl}, "ctrl+z": {Code: 'z', Mod: tea.ModCtrl}, "left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight},
	"end": {Code: tea.KeyEnd}, "home": {Code: tea.KeyHome}, "pgup": {Code: tea.KeyPgUp}, "pgdown": {Code: tea.KeyPgDown},
	"ctrl+b": {Code: 'b', Mod: tea.ModCtrl}, "ctrl+f": {Code: 'f', Mod: tea.ModCtrl}, "ctrl+w": {Code: 'w', Mod: tea.ModCtrl},
	"ctrl+l": {Code: 'l', Mod: tea.ModCtrl}, "ctrl+\\": {Code: '\\', Mod: tea.ModCtrl}, "ctrl+space": {Code: tea.KeySpace, Mod: tea.ModCtrl}, "backspace": {Code: tea.KeyBackspace}, "ctrl+k": {Code: 'k', Mod: tea.ModCtrl},
}

// press presses keys: named ones, or text to type.
func (p *player) press(all ...string) {
	for _, key := range all {
		if msg, ok := named[key]; ok {
			p.send(msg)
		} else {
			for _, r := range key {
				p.send(tea.KeyPressMsg{Code: r, Text: string(r)})
			}
		}
		p.settle()
	}
}

// text returns the frame without colors.
func (p *player) text() string {
	return ansi.Strip(strings.Join(p.m.Frame(), "\n"))
}

func (p *player) want(texts ...string) {
	p.t.Helper()
	frame := p.text()
	for _, text := range texts {
		if !strings.Contains(frame, text) {
			p.t.Errorf("no %q in\n%s", text, frame)
		}
	}
}

func (p *player) reject(texts ...string) {
	p.t.Helper()
	frame := p.text()
	for _, text := range texts {
		if strings.Contains(frame, text) {
			p.t.Errorf("%q is in\n%s", text, frame)
		}
	}
}
