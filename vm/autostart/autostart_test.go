package autostart

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/home"
)

var demo = Command{
	Program: "/opt/my tools/skiff", Start: []string{"autostart", "run", "demo"}, Stop: []string{"stop", "demo"},
	Environment: []string{"SKIFF_HOME=/home/jo/.skiff", `PATH=/usr/bin:/odd "%h" $x\`}, Log: "/home/jo/.skiff/clusters/demo/autostart.log",
}

func TestTheUnitOfSystemd(t *testing.T) {
	content, err := unit("skiff-demo-1a2b3c4d", "demo", demo)
	if err != nil {
		t.Fatal(err)
	}
	const want = `# Made by "skiff autostart on demo"; "skiff autostart off demo" removes it.
[Unit]
Description=Kubernetes cluster demo (Skiff)

[Service]
Type=simple
RemainAfterExit=yes
KillMode=process
TimeoutStopSec=10min
Environment="SKIFF_HOME=/home/jo/.skiff"
Environment="PATH=/usr/bin:/odd \"%%h\" $x\\"
ExecStart=:"/opt/my tools/skiff" "autostart" "run" "demo"
ExecStop=:"/opt/my tools/skiff" "stop" "demo"

[Install]
WantedBy=default.target
`
	if content != want {
		t.Errorf("%s\nwant %s", content, want)
	}
}

// TestSystemdAcceptsTheUnit asks systemd itself.
func TestSystemdAcceptsTheUnit(t *testing.T) {
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	c := demo
	if c.Program, err = exec.LookPath("true"); err != nil {
		t.Skip("true is not installed")
	}
	content, err := unit("skiff-demo-1a2b3c4d", "demo", c)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "skiff-demo-1a2b3c4d.service")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), verify, "verify", "--man=no", path)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "skiff-demo") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTheAgentOfLaunchd(t *testing.T) {
	c := demo
	c.Program = "/opt/a & <b>/skiff"
	content, err := agent("skiff-demo-1a2b3c4d", "demo", c)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"<key>Label</key>\n\t<string>dev.skiff.skiff-demo-1a2b3c4d</string>",
		"<string>/opt/a &amp; &lt;b&gt;/skiff</string>\n\t\t<string>autostart</string>\n\t\t<string>run</string>\n\t\t<string>demo</string>",
		"<key>SKIFF_HOME</key>\n\t\t<string>/home/jo/.skiff</string>",
		"<key>RunAtLoad</key>\n\t<true/>",
		"<key>AbandonProcessGroup</key>\n\t<true/>",
		"<key>StandardErrorPath</key>\n\t<string>/home/jo/.skiff/clusters/demo/autostart.log</string>",
	} {
		if !strings.Contains(content, part) {
			t.Errorf("%s\nlacks %s", content, part)
		}
	}
	for decoder := xml.NewDecoder(strings.NewReader(content)); ; {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in %s", err, content)
		}
	}
}

func TestLineBreaksAreRefused(t *testing.T) {
	for _, c := range []Command{{Program: "/a\nExecStart=/b"}, {Program: "/a", Environment: []string{"PATH=/a\nUser=root"}}} {
		for name, render := range map[string]func(string, string, Command) (string, error){"systemd": unit, "launchd": agent} {
			if content, err := render("skiff-demo-1a2b3c4d", "demo", c); err == nil {
				t.Errorf("%s: %s", name, content)
			}
		}
	}
}

func TestOnAndOffAreIdempotent(t *testing.T) {
	for name, open := range map[string]func(string) Login{"systemd": systemd, "launchd": launchd} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			reloads := 0
			l := open(filepath.Join(root, "units"))
			l.reload = func(context.Context) error { reloads++; return nil }
			dir, other := home.Home("/home/jo/.skiff").Cluster("demo"), home.Home("/home/jo/other").Cluster("demo")
			if l.IsOn(dir) {
				t.Error("on before it was turned on")
			}
			for range 2 {
				if err := l.On(t.Context(), dir, demo); err != nil || !l.IsOn(dir) || l.IsOn(other) {
					t.Errorf("on: %v, %v, %v", err, l.IsOn(dir), l.IsOn(other))
				}
			}
			if err := l.On(t.Context(), other, demo); err != nil {
				t.Error(err)
			}
			for _, want := range []bool{true, false} {
				if was, err := l.Off(t.Context(), dir); was != want || err != nil || l.IsOn(dir) || !l.IsOn(other) {
					t.Errorf("off: was on %v, %v; now on: %v, %v", was, err, l.IsOn(dir), l.IsOn(other))
				}
			}
			if _, err := l.Off(t.Context(), other); err != nil {
				t.Error(err)
			}
			if left := files(t, root); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if reloads != 8 { // twice for each On, once for each Off that changes something
				t.Errorf("%d reloads", reloads)
			}
		})
	}
}

func TestNothingChangesWithoutSystemd(t *testing.T) {
	root := t.TempDir()
	l := systemd(filepath.Join(root, "units"))
	l.reload = func(context.Context) error { return ErrUnavailable }
	dir := home.Home("/home/jo/.skiff").Cluster("demo")
	if err := l.On(t.Context(), dir, demo); !errors.Is(err, ErrUnavailable) || l.IsOn(dir) || len(files(t, root)) > 0 {
		t.Errorf("%v, on: %v, files %v", err, l.IsOn(dir), files(t, root))
	}
	l.reload = func(context.Context) error { return nil }
	if err := l.On(t.Context(), dir, demo); err != nil {
		t.Fatal(err)
	}
	l.reload = func(context.Context) error { return ErrUnavailable }
	if was, err := l.Off(t.Context(), dir); !was || err != nil || l.IsOn(dir) {
		t.Errorf("off: was on %v, %v; now on: %v", was, err, l.IsOn(dir))
	}
}

func TestAReloadFailsWithTheReasonOfSystemd(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	if err := reloadSystemd(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "it has no systemd") {
		t.Errorf("without systemctl: %v", err)
	}
	script := "#!/bin/sh\necho \"Failed to connect\n to bus: $*\" >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte(script), 0o700); err != nil { //nolint:gosec // it is executed
		t.Fatal(err)
	}
	if err := reloadSystemd(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.HasSuffix(err.Error(), "does not answer (Failed to connect to bus: --user daemon-reload)") {
		t.Errorf("%v", err)
	}
}

// files returns the files below a directory, links included.
func files(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}
