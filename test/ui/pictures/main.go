// Command pictures draws the dashboard's main screens for the documentation:
// the program's own frames over a real API server with the rig's objects, as
// SVG.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/test/ui/rig"
	"github.com/skiff-dev/skiff/tui/app"
	"github.com/skiff-dev/skiff/tui/kube"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Size of the window that is drawn, in cells.
const columns, rows = 132, 34

// shots are the pictures and the keys that lead to each.
var shots = []struct {
	name string
	keys []string
}{
	{"pods", nil},
	{"filter", []string{"/", "web", "enter"}},
	{"delete", []string{"/", "web", "enter", "ctrl+a", "ctrl+d"}},
	{"tree", []string{":", "tree deployment web shop", "enter"}},
	{"yaml", []string{":", "deploy shop", "enter", "y"}},
	{"pulse", []string{":", "pulse", "enter"}},
	{"controlplane", []string{":", "controlplane", "enter"}},
	{"help", []string{"?"}},
}

func main() {
	out := flag.String("out", "docs/images", "directory for the pictures")
	kubeconfig := flag.String("kubeconfig", "", "draw this cluster; without it one is started and filled")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *out, *kubeconfig)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, kubeconfig string) error {
	if kubeconfig == "" {
		dir, err := os.MkdirTemp("", "skiff-pictures-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		program, err := rig.Program(".")
		if err != nil {
			return err
		}
		server, err := rig.Start(ctx, program, dir)
		if err != nil {
			return err
		}
		defer func() { _ = server.Stop() }()
		if err := server.Fill(ctx); err != nil {
			return err
		}
		go server.Kubelets(ctx)
		kubeconfig = server.Kubeconfig
		time.Sleep(10 * time.Second) // workloads settle
	}
	content, err := os.ReadFile(kubeconfig)
	if err != nil {
		return err
	}
	for _, s := range shots {
		lines, err := shoot(ctx, content, s.keys)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := os.WriteFile(filepath.Join(out, s.name+".svg"), []byte(SVG(lines, columns)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// shoot opens the dashboard, presses keys and returns the frame.
func shoot(ctx context.Context, kubeconfig []byte, keys []string) ([]string, error) {
	settings, err := app.ParseSettings(nil, nil)
	if err != nil {
		return nil, err
	}
	ports := &kube.Forwarder{}
	m := app.New(ctx, app.Config{Host: host{kubeconfig, ports}, Ports: ports, Clusters: []string{"dev"}, Settings: settings})
	defer m.Close()
	c := camera{m}
	program := tea.NewProgram(c, tea.WithInput(nil), tea.WithOutput(io.Discard), tea.WithWindowSize(columns, rows), tea.WithoutSignalHandler(), tea.WithoutRenderer())
	ended := make(chan error, 1)
	go func() { _, err := program.Run(); ended <- err }()
	program.Send(tea.WindowSizeMsg{Width: columns, Height: rows})
	time.Sleep(6 * time.Second)
	for _, k := range keys {
		for _, msg := range presses(k) {
			program.Send(msg)
		}
		time.Sleep(500 * time.Millisecond)
	}
	time.Sleep(10 * time.Second)
	taken := make(chan []string, 1)
	program.Send(click{taken})
	lines := <-taken
	program.Quit()
	return lines, <-ended
}

func presses(key string) []tea.Msg {
	switch key {
	case "enter":
		return []tea.Msg{tea.KeyPressMsg{Code: tea.KeyEnter}}
	case "ctrl+a", "ctrl+d":
		return []tea.Msg{tea.KeyPressMsg{Code: rune(key[5]), Mod: tea.ModCtrl}}
	}
	var all []tea.Msg
	for _, r := range key {
		all = append(all, tea.KeyPressMsg{Code: r, Text: string(r)})
	}
	return all
}

// camera is the model, with a message that takes its picture.
type camera struct{ m *app.Model }

type click struct{ taken chan []string }

// Init is tea.Model's.
func (c camera) Init() tea.Cmd { return c.m.Init() }

// Update is tea.Model's.
func (c camera) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if click, ok := msg.(click); ok {
		click.taken <- c.m.Frame()
		return c, nil
	}
	_, cmd := c.m.Update(msg)
	c.m.Frame() // a table learns its height when it is drawn
	return c, cmd
}

// View is tea.Model's.
func (c camera) View() tea.View { return c.m.View() }

// host has no machines: the pictures are of Kubernetes alone.
type host struct {
	kubeconfig []byte
	ports      *kube.Forwarder
}

func (h host) Clusters(context.Context) ([]daemonapi.ClusterStatus, error) { return nil, nil }

func (h host) Guest(context.Context, string, string) (nodeapi.Status, error) {
	return nodeapi.Status{}, errors.New("no machine")
}

func (h host) Connect(_ context.Context, name string) (app.Kubernetes, error) {
	return kube.New(name, h.kubeconfig, "", h.ports)
}

func (h host) Verbs() map[string]bool { return nil }

func (h host) Skiff(context.Context, []string, io.Reader, io.Writer) error {
	return errors.New("no commands")
}
