package tunnel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// ErrNoResolver means that systemd-resolved does not run, so that the user has to
// configure names.
var ErrNoResolver = errors.New("systemd-resolved is not running")

// resolvedDirectory exists while systemd-resolved runs.
const resolvedDirectory = "/run/systemd/resolve"

// SetNames makes systemd-resolved ask cluster DNS for names of the cluster's domain,
// and for no others. The setting belongs to the device and ends with it. It needs
// root, and returns ErrNoResolver if there is no systemd-resolved.
func SetNames(ctx context.Context, p Plan) error {
	program, err := exec.LookPath("resolvectl")
	if err != nil {
		return ErrNoResolver
	}
	if _, err := os.Stat(resolvedDirectory); err != nil {
		return ErrNoResolver
	}
	return setNames(ctx, p, program)
}

func setNames(ctx context.Context, p Plan, program string) error {
	for _, arguments := range p.resolver() {
		if out, err := exec.CommandContext(ctx, program, arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", program, strings.Join(arguments, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// resolver returns the arguments of resolvectl. "~" makes the domain one for routing
// only: short names are not completed with it. The server comes last: without the other
// two, it would be asked for every name.
func (p Plan) resolver() [][]string {
	return [][]string{
		{"default-route", p.Device, "no"},
		{"domain", p.Device, "~" + p.Domain},
		{"dns", p.Device, p.Nameserver.String()},
	}
}
