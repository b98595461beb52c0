// Package autostart makes clusters start when their user logs in: by a unit of systemd's
// user manager on Linux, and by an agent of launchd on macOS. All state is the file of the
// unit or agent, which names the cluster and the directory of Skiff's files.
package autostart

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/home"
)

// ErrUnavailable means that nothing on this host starts programs when the user logs in.
// Errors that wrap it say what is missing.
var ErrUnavailable = errors.New("nothing on this host starts programs when you log in")

// reloadLimit bounds how long systemd may take to read its units again.
const reloadLimit = 10 * time.Second

// Command is how a cluster is started and stopped.
type Command struct {
	// Program is the path of skiff.
	Program string
	// Start and Stop are its arguments.
	Start, Stop []string
	// Environment has the variables of both, NAME=VALUE.
	Environment []string
	// Log is the file for the output of Start on systems without a journal.
	Log string
}

// Login starts clusters when the user logs in. Open returns one.
type Login struct {
	// dir is where the files are.
	dir string
	// file returns the name of a cluster's file, and render its content.
	file   func(id string) string
	render func(id, cluster string, c Command) (string, error)
	// link returns the path of a link to the file that turns it on; nil if it needs none.
	link func(id string) string
	// reload makes what reads the files notice that they have changed.
	reload func(ctx context.Context) error
}

// Open returns the Login of this user. The error wraps ErrUnavailable if the platform has
// none.
func Open() (Login, error) {
	userHome, err := os.UserHomeDir()
	if err != nil {
		return Login{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	switch runtime.GOOS {
	case "linux":
		config, err := os.UserConfigDir()
		if err != nil {
			return Login{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return systemd(filepath.Join(config, "systemd", "user")), nil
	case "darwin":
		return launchd(filepath.Join(userHome, "Library", "LaunchAgents")), nil
	}
	return Login{}, fmt.Errorf("%w: it has neither systemd nor launchd", ErrUnavailable)
}

// ID identifies the cluster in the directory of all of the user's units or agents.
func ID(dir home.Cluster) string {
	sum := sha256.Sum256([]byte(dir.Home()))
	return "skiff-" + dir.Name() + "-" + hex.EncodeToString(sum[:4])
}

// Path returns the file of a cluster, which exists while its start is on.
func (l Login) Path(dir home.Cluster) string { return filepath.Join(l.dir, l.file(ID(dir))) }

// IsOn reports whether the cluster starts when the user logs in.
func (l Login) IsOn(dir home.Cluster) bool {
	id := ID(dir)
	if _, err := os.Stat(l.Path(dir)); err != nil {
		return false
	}
	if l.link == nil {
		return true
	}
	_, err := os.Stat(l.link(id))
	return err == nil
}

// On makes the cluster start when the user logs in. It is idempotent. An error that wraps
// ErrUnavailable means that nothing has changed.
func (l Login) On(ctx context.Context, dir home.Cluster, c Command) error {
	id := ID(dir)
	content, err := l.render(id, dir.Name(), c)
	if err != nil {
		return err
	}
	if err := l.reload(ctx); err != nil { // before anything changes
		return err
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("turn on the start of %s: %w", dir.Name(), err)
	}
	if err := atomicfile.Write(l.Path(dir), []byte(content), 0o600); err != nil {
		return fmt.Errorf("turn on the start of %s: %w", dir.Name(), err)
	}
	if l.link != nil {
		if err := symlink(l.Path(dir), l.link(id)); err != nil {
			return fmt.Errorf("turn on the start of %s: %w", dir.Name(), err)
		}
	}
	return l.reload(ctx)
}

// symlink makes link a symbolic link to path.
func symlink(path, link string) error {
	if to, err := os.Readlink(link); err == nil && to == path {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	if err := remove(link); err != nil {
		return err
	}
	if err := os.Symlink(path, link); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(link))
}

// Off ends what On began, even if systemd does not answer. It reports whether the start was
// on. A cluster that runs keeps running.
func (l Login) Off(ctx context.Context, dir home.Cluster) (bool, error) {
	id, was := ID(dir), false
	paths := []string{l.Path(dir)}
	if l.link != nil {
		paths = append([]string{l.link(id)}, paths...) // without the file, a link leads nowhere
	}
	for _, path := range paths {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		was = true
		if err := remove(path); err != nil {
			return was, fmt.Errorf("turn off the start of %s: %w", dir.Name(), err)
		}
		if err := atomicfile.SyncDir(filepath.Dir(path)); err != nil {
			return was, fmt.Errorf("turn off the start of %s: %w", dir.Name(), err)
		}
	}
	if err := atomicfile.RemoveLeftovers(l.Path(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return was, fmt.Errorf("turn off the start of %s: %w", dir.Name(), err)
	}
	if was {
		_ = l.reload(ctx) // otherwise, systemd notices when it is started again
	}
	return was, nil
}

// Remove turns off the start of a cluster that is deleted.
func Remove(dir home.Cluster) error {
	l, err := Open()
	if errors.Is(err, ErrUnavailable) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), reloadLimit)
	defer cancel()
	_, err = l.Off(ctx, dir)
	return err
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// check returns an error for a value that cannot be part of a unit or an agent.
func check(values ...string) error {
	for _, value := range values {
		if strings.ContainsAny(value, "\n\r\x00") {
			return fmt.Errorf("%q has a line break: a start at login cannot have one in a path or variable", value)
		}
	}
	return nil
}
