// Command pictures renders the main screens of the dashboard as SVG files for
// the documentation, from a running cluster with the objects of test/ui/testdata/shop.yaml.
// test/pictures.sh starts one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/app"
	"github.com/skiff-dev/skiff/tui/console"
	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// Size of the window, in cells.
const columns, rows = 132, 34

// shots are the pictures, with the first screen and the keys to press.
var shots = []struct {
	name, start string
	keys        []string
}{
	{"pods", "", nil},
	{"tree", "", []string{":", "tree deployment web shop", "enter"}},
	{"logs", "", []string{":", "pods shop", "enter", "/", "web", "enter", "ctrl+a", "l"}},
	{"workloads", "", []string{":", "wk shop", "enter"}},
	{"containers", "", []string{":", "pods shop", "enter", "/", "web", "enter", "enter"}},
	{"pulse", "", []string{":", "pulse", "enter"}},
	{"nodes", "nodes", []string{"down"}},
	{"clusters", "clusters", []string{"down"}},
	{"controlplane", "controlplane", nil},
}

// settle is how long to wait for graphs to fill.
const settle = 100 * time.Second

func main() {
	out := flag.String("out", "docs/images", "directory for the pictures")
	cluster := flag.String("cluster", "dev", "the cluster to show")
	skiff := flag.String("skiff", "bin/skiff", "the skiff program, which is queried for etcd members")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *out, *cluster, *skiff)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

// run renders all pictures in parallel, because they mostly wait.
func run(ctx context.Context, out, cluster, skiff string) error {
	at, err := home.Default()
	if err != nil {
		return err
	}
	h := host{home: at, skiff: skiff, ports: &kube.Forwarder{}}
	failed := make([]error, len(shots))
	var rendering sync.WaitGroup
	for i, s := range shots {
		rendering.Go(func() {
			lines, err := shoot(ctx, h, cluster, s.start, s.keys)
			if err == nil {
				err = os.WriteFile(filepath.Join(out, s.name+".svg"), []byte(SVG(lines, columns)), 0o644)
			}
			if err != nil {
				failed[i] = fmt.Errorf("%s: %w", s.name, err)
			}
		})
	}
	rendering.Wait()
	return errors.Join(failed...)
}

// shoot opens the dashboard, presses keys and returns the frame.
func shoot(ctx context.Context, h host, cluster, start string, keys []string) ([]string, error) {
	settings, err := app.ParseSettings(nil, nil)
	if err != nil {
		return nil, err
	}
	config := app.Config{Host: h, Ports: h.ports, Clusters: []string{cluster}, Start: start, Settings: settings}
	m := app.New(ctx, config)
	defer m.Close()
	c := camera{m}
	program := tea.NewProgram(c, tea.WithInput(nil), tea.WithOutput(io.Discard), tea.WithWindowSize(columns, rows), tea.WithoutSignalHandler(), tea.WithoutRenderer())
	done := make(chan error, 1)
	go func() { _, err := program.Run(); done <- err }()
	program.Send(tea.WindowSizeMsg{Width: columns, Height: rows})
	time.Sleep(settle / 10)
	for _, k := range keys {
		for _, msg := range presses(k) {
			program.Send(msg)
		}
		time.Sleep(time.Second)
	}
	time.Sleep(settle)
	frame := make(chan []string, 1)
	program.Send(capture{frame})
	lines := <-frame
	program.Quit()
	return lines, <-done
}

func presses(key string) []tea.Msg {
	switch key {
	case "enter":
		return []tea.Msg{tea.KeyPressMsg{Code: tea.KeyEnter}}
	case "down":
		return []tea.Msg{tea.KeyPressMsg{Code: tea.KeyDown}}
	case "ctrl+a", "ctrl+d":
		return []tea.Msg{tea.KeyPressMsg{Code: rune(key[5]), Mod: tea.ModCtrl}}
	}
	var all []tea.Msg
	for _, r := range key {
		all = append(all, tea.KeyPressMsg{Code: r, Text: string(r)})
	}
	return all
}

// camera is the model with an additional message that captures its frame.
type camera struct{ m *app.Model }

type capture struct{ frame chan []string }

// Init implements tea.Model.
func (c camera) Init() tea.Cmd { return c.m.Init() }

// Update implements tea.Model.
func (c camera) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if capture, ok := msg.(capture); ok {
		capture.frame <- c.m.Frame()
		return c, nil
	}
	_, cmd := c.m.Update(msg)
	c.m.Frame() // tables only know their height after rendering
	return c, cmd
}

// View implements tea.Model.
func (c camera) View() tea.View { return c.m.View() }

// host implements app.Host without the commands that change something.
type host struct {
	home  home.Home
	skiff string // path of the program
	ports *kube.Forwarder
}

func (h host) Clusters(ctx context.Context) ([]daemonapi.ClusterStatus, error) {
	return client.List(ctx, h.home)
}

func (h host) NodeStatus(ctx context.Context, cluster, node string) (nodeapi.Status, error) {
	return client.New(client.Config{Home: h.home, Name: cluster}).Node(node).Status(ctx)
}

func (h host) Services(ctx context.Context, name string) (daemonapi.Services, error) {
	return client.New(client.Config{Home: h.home, Name: name}).Services(ctx)
}

func (h host) Measure(ctx context.Context, name, expression string, span time.Duration, points int) ([]float64, error) {
	return client.New(client.Config{Home: h.home, Name: name}).Measure(ctx, expression, span, points)
}

// StoredLogs is not called: no shot searches.
func (h host) StoredLogs(context.Context, feed.StoredLogs) ([]feed.Line, error) {
	return nil, errors.ErrUnsupported
}

// Browse is not called: no key of a shot opens a browser.
func (h host) Browse(context.Context, string) error { return errors.ErrUnsupported }

func (h host) Connect(ctx context.Context, name string) (app.Kubernetes, error) {
	kubeconfig, err := client.New(client.Config{Home: h.home, Name: name}).Kubeconfig(ctx)
	if err != nil {
		return nil, err
	}
	return console.Connect(name, kubeconfig, "", h.ports)
}

func (h host) Verbs() map[string]bool { return nil }

// Operate is not called: no key of a shot runs an operation.
func (h host) Operate(context.Context, machine.Operation, io.Reader, io.Writer) error {
	return errors.ErrUnsupported
}

// EtcdMembers implements app.Host.
func (h host) EtcdMembers(ctx context.Context, cluster string) ([]controlapi.EtcdMember, error) {
	out, err := exec.CommandContext(ctx, h.skiff, "etcd", "members", cluster, "-o", "json").Output()
	if err != nil {
		return nil, err
	}
	var members []controlapi.EtcdMember
	err = json.Unmarshal(out, &members)
	return members, err
}
