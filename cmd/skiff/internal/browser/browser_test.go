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

func TestPagesAreWhereOnlyTheUserAndTheBrowserSeeThem(t *testing.T) {
	environment := map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000"}
	for _, c := range []struct {
		name, system, desktop, want string
		missing                     string
	}{
		{"Linux", "linux", "firefox-esr.desktop", "/run/user/1000", ""},
		{"a snap", "linux", "firefox_firefox.desktop", "/home/jane/snap/firefox/common", ""},
		{"a snap that never ran", "linux", "chromium_chromium.desktop", "/run/user/1000", "/home/jane/snap/chromium/common"},
		{"no browser is set", "linux", "", "/run/user/1000", ""},
		{"no runtime directory", "linux", "", os.TempDir(), "/run/user/1000"},
		{"a Mac", "darwin", "", os.TempDir(), ""},
	} {
		exists := func(path string) bool { return path != c.missing }
		if got := pageDir(c.system, func(key string) string { return environment[key] }, "/home/jane", exists, c.desktop); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAPageIsNotOpenedOnAnotherMachine(t *testing.T) {
	environment := hereOnly(func(key string) string { return map[string]string{"BROWSER": "/opt/editor/browser"}[key] })
	if _, err := opener("linux", environment, func(name string) (string, error) { return name, nil }); err == nil {
		t.Error("the program of a remote shell gets the path of a page")
	}
}
