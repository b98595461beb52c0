package assembly

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Hint is an error with a suggestion of what to do about it.
type Hint struct {
	Err  error
	Text string
}

func (h *Hint) Error() string { return h.Err.Error() + " (" + h.Text + ")" }

// Unwrap returns the error without the suggestion.
func (h *Hint) Unwrap() error { return h.Err }

// hostTools maps the host programs that a build calls to the Debian packages that
// contain them.
var hostTools = map[string]string{
	"apt-get": "apt", "apt-cache": "apt", "dpkg-deb": "dpkg", "mkfs.erofs": "erofs-utils", "go": "golang-go",
}

// run runs a host tool and returns its standard output.
func run(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, &Hint{fmt.Errorf("%s is not installed", name), "apt-get install " + hostTools[name]}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, lastLine(stderr.String()))
	}
	return out, nil
}

// lastLine returns the last line of a tool's output, usually the reason why it failed.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
