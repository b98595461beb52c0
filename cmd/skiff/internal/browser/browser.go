// Package browser opens a URL in the user's browser, and never waits for the
// browser to end.
package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"runtime"
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
