package app

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/tui/theme"
)

var update = flag.Bool("update", false, "update the golden files")

// tours open each screen by key presses.
var tours = []struct {
	name  string
	start string
	keys  []string
}{
	{"clusters", "clusters", nil},
	{"clusters-create", "clusters", []string{"+"}},
	{"clusters-delete", "clusters", []string{"down", "ctrl+d"}},
	{"clusters-pause", "clusters", []string{"down", "p"}},
	{"nodes", "nodes", nil},
	{"nodes-degraded", "nodes", []string{"end"}},
	{"nodes-remove", "nodes", []string{"-"}},
	{"nodes-drain", "nodes", []string{"down", "D"}},
	{"pods", "", nil},
	{"pods-unhealthy", "", []string{"ctrl+z"}},
	{"pods-filter", "", []string{"/", "web", "enter"}},
	{"pods-sorted", "", []string{">", ">", ">", ">"}},
	{"pods-marked", "", []string{"down", "space", "space", "ctrl+d"}},
	{"containers", "", []string{"end", "up", "enter"}},
	{"describe", "", []string{"d"}},
	{"describe-graphs", "", []string{"d", "m"}},
	{"describe-day", "nodes", []string{"d", "]", "]", "]", "]"}},
	{"logs-search", "", []string{"L"}},
	{"logs-stored", "", []string{":", "logs gone", "enter"}},
	{"yaml", "", []string{"y"}},
	{"yaml-search", "", []string{"y", "/", "image", "enter"}},
	{"logs", "", []string{"l"}},
	{"logs-times", "", []string{"l", "t", "w", "J"}},
	{"workloads", "", []string{":", "wk", "enter"}},
	{"workloads-unhealthy", "", []string{":", "wk", "enter", "ctrl+z"}},
	{"resources", "", []string{":", "resources", "enter"}},
	{"deployment-delete", "", []string{":", "deploy", "enter", "ctrl+d"}},
	{"deployments", "", []string{":", "deploy", "enter"}},
	{"scale", "", []string{":", "deploy", "enter", "s"}},
	{"statefulsets", "", []string{":", "sts", "enter"}},
	{"daemonsets", "", []string{":", "ds", "enter"}},
	{"jobs", "", []string{":", "jobs", "enter"}},
	{"cronjobs", "", []string{":", "cj", "enter"}},
	{"history", "", []string{":", "deploy", "enter", "h"}},
	{"tree", "", []string{":", "deploy", "enter", "t"}},
	{"tree-choice", "clusters", []string{"down", "enter", ":", "tree deploy", "enter"}},
	{"services", "", []string{":", "svc", "enter"}},
	{"services-browse", "", []string{":", "svc", "enter", "down", "b"}},
	{"services-copy", "", []string{":", "svc", "enter", "down", "C"}},
	{"addresses", "", []string{":", "addresses", "enter"}},
	{"endpoints", "", []string{":", "endpointslices", "enter"}},
	{"ingresses", "", []string{":", "ing", "enter"}},
	{"config", "", []string{":", "cm", "enter"}},
	{"claims", "", []string{":", "pvc", "enter"}},
	{"volumes", "", []string{":", "pv", "enter"}},
	{"definitions", "", []string{":", "crd", "enter"}},
	{"secrets", "", []string{":", "secrets", "enter"}},
	{"secret-shown", "", []string{":", "secrets", "enter", "y", "x"}},
	{"secret", "", []string{":", "secrets", "enter", "y"}},
	{"events", "", []string{":", "events", "enter"}},
	{"custom", "", []string{":", "boats", "enter"}},
	{"namespaces", "", []string{"n"}},
	{"pulse", "", []string{":", "pulse", "enter"}},
	{"controlplane", "controlplane", nil},
	{"forwards", "", []string{":", "forwards", "enter"}},
	{"forward-form", "", []string{"f"}},
	{"help", "", []string{"?"}},
	{"command", "", []string{":", "po"}},
	{"output", "", []string{":", "skiff status", "enter"}},
	{"several-clusters", "", []string{":", "ctx dev,ci", "enter"}},
}

func TestFramesMatchGoldenFiles(t *testing.T) {
	for _, size := range []struct {
		name          string
		width, height int
	}{{"80x24", 80, 24}, {"160x50", 160, 50}} {
		for _, tour := range tours {
			t.Run(tour.name+" "+size.name, func(t *testing.T) {
				play(t, size.width, size.height, Config{Clusters: clustersFor(tour.start), Start: tour.start}, func(p *player) {
					p.press(tour.keys...)
					frame := p.m.Frame()
					fits(t, frame, size.width, size.height)
					golden(t, tour.name+"-"+size.name, ansi.Strip(strings.Join(frame, "\n"))+"\n")
				})
			})
		}
	}
}

func clustersFor(start string) []string {
	if start == "clusters" {
		return nil
	}
	return []string{"dev"}
}

func fits(t *testing.T, frame []string, width, height int) {
	t.Helper()
	if len(frame) != height {
		t.Errorf("got %d lines in a window of %d", len(frame), height)
	}
	for i, l := range frame {
		if w := ansi.StringWidth(l); w != width {
			t.Errorf("line %d is %d wide, want %d: %q", i, w, width, ansi.Strip(l))
		}
	}
}

func TestThemesMatchGoldenFiles(t *testing.T) {
	for _, name := range theme.Names() {
		settings, err := ParseSettings([]byte("theme: "+name+"\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		play(t, 100, 16, Config{Clusters: []string{"dev"}, Settings: settings}, func(p *player) {
			golden(t, "theme-"+name, strings.Join(p.m.Frame(), "\n")+"\n")
		})
	}
}

func TestNoColorDisablesColors(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	play(t, 100, 16, Config{Clusters: []string{"dev"}}, func(p *player) {
		if frame := strings.Join(p.m.Frame(), "\n"); strings.Contains(frame, "38;2") || strings.Contains(frame, "48;2") {
			t.Errorf("colors in %q", frame)
		}
	})
}

func TestEveryScreenFitsEveryWindow(t *testing.T) {
	for _, tour := range tours {
		play(t, 80, 24, Config{Clusters: clustersFor(tour.start), Start: tour.start}, func(p *player) {
			p.press(tour.keys...)
			for _, size := range [][2]int{{1, 1}, {20, 5}, {40, 8}, {60, 10}, {79, 23}, {110, 30}, {200, 60}} {
				p.m.width, p.m.height = size[0], size[1]
				fits(t, p.m.Frame(), size[0], size[1])
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (update it with go test -update):\n%s", name, got)
	}
}
