// Package browser opens a URL in the user's browser, and never waits for the
// browser to end.
package browser

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// patience is how long a program that opens URLs may take to report a failure.
const patience = 2 * time.Second

// Open opens an HTTP URL. It returns an error if there is no browser or no display,
// or if the program that opens URLs fails at once.
func Open(ctx context.Context, address string) error {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return fmt.Errorf("%q is not the URL of a web site", address)
	}
	program, err := opener(runtime.GOOS, os.Getenv, exec.LookPath)
	if err != nil {
		return err
	}
	return start(ctx, program, parsed.String())
}

// Page returns the path at which a page for OpenPage can be written. The page can hold a secret:
// its path cannot be guessed, and only the user should be allowed to read the file. Page returns
// an error if no page can be opened.
func Page(ctx context.Context) (string, error) {
	if _, err := opener(runtime.GOOS, hereOnly(os.Getenv), exec.LookPath); err != nil {
		return "", err
	}
	home, _ := os.UserHomeDir() // pageDir does without
	return filepath.Join(pageDir(runtime.GOOS, os.Getenv, home, isDirectory, defaultBrowser(ctx)), "skiff-"+rand.Text()+".html"), nil
}

// pageDir returns a directory for pages. A browser that is a snap sees neither the
// directories of the runtime nor hidden ones.
func pageDir(system string, environment func(string) string, home string, exists func(string) bool, desktop string) string {
	if system == "linux" {
		if snap, _, ok := strings.Cut(strings.TrimSuffix(desktop, ".desktop"), "_"); ok && home != "" {
			if dir := filepath.Join(home, "snap", snap, "common"); exists(dir) {
				return dir
			}
		}
		if dir := environment("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && exists(dir) {
			return dir
		}
	}
	return os.TempDir()
}

// hereOnly leaves out BROWSER, whose program may open URLs on another machine, which does
// not have the page.
func hereOnly(environment func(string) string) func(string) string {
	return func(key string) string {
		if key == "BROWSER" {
			return ""
		}
		return environment(key)
	}
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// defaultBrowser returns the desktop file of the user's browser, such as
// "firefox_firefox.desktop" for a snap, or "".
func defaultBrowser(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	output, err := exec.CommandContext(ctx, "xdg-settings", "get", "default-web-browser").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(output))
}

// OpenPage opens the page at a path of this host.
func OpenPage(ctx context.Context, path string) error {
	program, err := opener(runtime.GOOS, os.Getenv, exec.LookPath)
	if err != nil {
		return err
	}
	return start(ctx, program, (&url.URL{Scheme: "file", Path: path}).String())
}

// opener returns the program that opens URLs. On Linux that needs a display, or a
// program in BROWSER, which remote shells of editors set.
func opener(system string, environment func(string) string, find func(string) (string, error)) (string, error) {
	if system == "darwin" {
		return find("open")
	}
	if environment("DISPLAY") == "" && environment("WAYLAND_DISPLAY") == "" && environment("BROWSER") == "" {
		return "", errors.New("cannot open a browser: no display is set")
	}
	program, err := find("xdg-open")
	if err != nil {
		return "", errors.New("cannot open a browser: xdg-open is not installed")
	}
	return program, nil
}

// start starts a program in a session of its own, so that it outlives this one and
// cannot use its terminal.
func start(ctx context.Context, program, address string) error {
	cmd := exec.Command(program, address)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("open a browser: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("open a browser: %s: %w", program, err)
		}
	case <-time.After(patience):
	case <-ctx.Done():
	}
	return nil
}
