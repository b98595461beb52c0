package browser

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTheProgramFitsTheSystem(t *testing.T) {
	for _, c := range []struct {
		name, system, want string
		environment        map[string]string
		installed          bool
	}{
		{"a Mac", "darwin", "/bin/open", nil, true},
		{"X11", "linux", "/bin/xdg-open", map[string]string{"DISPLAY": ":0"}, true},
		{"Wayland", "linux", "/bin/xdg-open", map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, true},
		{"a remote shell of an editor", "linux", "/bin/xdg-open", map[string]string{"BROWSER": "/opt/editor/browser"}, true},
		{"no display", "linux", "no display is set", nil, true},
		{"no program", "linux", "xdg-open is not installed", map[string]string{"DISPLAY": ":0"}, false},
	} {
		find := func(name string) (string, error) {
			if !c.installed {
				return "", errors.New("not found")
			}
			return "/bin/" + name, nil
		}
		got, err := opener(c.system, func(key string) string { return c.environment[key] }, find)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: got %q", c.name, got)
		}
	}
}

func TestOnlyWebSitesAreOpened(t *testing.T) {
	for _, address := range []string{"file:///etc/passwd", "--help", "javascript:alert(1)", "http://", ""} {
		if err := Open(t.Context(), address); err == nil || !strings.Contains(err.Error(), "is not the URL") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestStartReportsFailuresAndDoesNotWait(t *testing.T) {
	program := func(text string) string {
		path := filepath.Join(t.TempDir(), "open")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	seen := filepath.Join(t.TempDir(), "seen")
	if err := start(t.Context(), program(`echo "$1" >`+seen), "http://web.localhost/?a=b&c"); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(seen); err != nil || string(got) != "http://web.localhost/?a=b&c\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := start(t.Context(), program("exit 3"), "http://web.localhost"); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %v", err)
	}
	began := time.Now()
	if err := start(t.Context(), program("exec sleep 10"), "http://web.localhost"); err != nil || time.Since(began) > 8*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}
