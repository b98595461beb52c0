// Package target finds the cluster, node and daemon that a command line refers
// to.
package target

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// Home returns the directory of all clusters, unless another user can write to it.
func Home() (home.Home, error) {
	h, err := home.Default()
	if err == nil {
		err = h.Check()
	}
	if errors.Is(err, home.ErrUnsafe) {
		return "", cli.Invalid("set SKIFF_HOME to a directory that only you can write to", "%s", err)
	}
	return h, err
}

// Client returns a client for the daemon of the cluster named name, which need
// not exist.
func Client(name string) (*client.Client, home.Home, error) { return newClient(name) }

// Temporary is like Client for a cluster that exists only as long as this process:
// its daemon takes it down if this process is killed.
func Temporary(name string) (*client.Client, home.Home, error) { return Owned(name, os.Getpid()) }

// Owned is like Temporary for another process.
func Owned(name string, owner int) (*client.Client, home.Home, error) {
	return newClient(name, "--owner", strconv.Itoa(owner))
}

func newClient(name string, flags ...string) (*client.Client, home.Home, error) {
	h, err := Home()
	if err != nil {
		return nil, "", err
	}
	c, err := clientIn(h, name, flags...)
	return c, h, err
}

// clientIn returns a client for a cluster in a directory of clusters.
func clientIn(h home.Home, name string, flags ...string) (*client.Client, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("locate the skiff executable: %w", err)
	}
	dir, err := ImageDir()
	if err != nil {
		return nil, err
	}
	command := []string{program, "daemon", "--home", string(h), "--name", name, "--image-dir", dir}
	return client.New(client.Config{Home: h, Name: name, ImageDir: dir, Command: append(command, flags...)}), nil
}

// RegistryCommand returns the program and the arguments that run the user's registry
// in the foreground.
func RegistryCommand(h home.Home) ([]string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("locate the skiff executable: %w", err)
	}
	return []string{program, "registry", "serve", "--home", string(h)}, nil
}

// LogsCommand returns the command that keeps logs, the program first.
func LogsCommand() ([]string, error) {
	program, err := os.Executable()
	return []string{program, "logstore"}, err
}

// Open returns a client for the daemon of the cluster that given selects, as in
// Existing, and the cluster's directory.
func Open(given string) (*client.Client, home.Cluster, error) {
	name, err := Existing(given)
	if err != nil {
		return nil, "", err
	}
	c, h, err := Client(name)
	return c, h.Cluster(name), err
}

// ImageDir returns the directory of the node image: SKIFF_IMAGE_DIR, or else where
// imageBeside finds it.
func ImageDir() (string, error) {
	if dir := os.Getenv("SKIFF_IMAGE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("locate the skiff executable: %w", err)
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return "", fmt.Errorf("locate the skiff executable: %w", err)
	}
	return imageBeside(program), nil
}

// imageBeside returns the directory of the node image that belongs to a program:
// "image" in the program's directory, as a build leaves it, or else
// "../lib/skiff/image", as releases install it. If neither has an image, it returns
// the first in a checkout's layout and the second in that of a release.
func imageBeside(program string) string {
	dir := filepath.Dir(program)
	built, installed := filepath.Join(dir, "image"), filepath.Join(filepath.Dir(dir), "lib", "skiff", "image")
	if _, err := os.Stat(filepath.Join(built, manifest.Name)); err == nil {
		return built
	}
	if _, err := os.Stat(filepath.Dir(installed)); err == nil {
		return installed
	}
	return built
}

// DefaultName returns the name of the cluster that is used when none is given.
func DefaultName() string {
	if name := os.Getenv("SKIFF_CLUSTER"); name != "" {
		return name
	}
	return cluster.Default().Name
}

// maxName keeps the sockets in a cluster's directory under 104 characters.
const maxName = 40

// CheckName returns an error unless name is a DNS label. Names become parts of
// paths.
func CheckName(name string) error {
	if len(name) > maxName || len(validation.IsDNS1123Label(name)) > 0 {
		return cli.Invalid("use at most 40 lower-case letters, digits and dashes, such as \"dev-1\"", "invalid cluster name %q", name)
	}
	return nil
}

// Named returns the first argument, or else the default name, if it is valid.
func Named(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], CheckName(args[0])
	}
	name := DefaultName()
	return name, CheckName(name)
}

// Existing returns the cluster that a command on an existing cluster refers to:
// name, or else SKIFF_CLUSTER, the only cluster, or the default.
func Existing(name string) (string, error) {
	if name != "" {
		return name, CheckName(name) // works without a home directory
	}
	h, err := Home()
	if err != nil {
		return "", err
	}
	return ExistingIn(h, "")
}

// ExistingIn is Existing for the clusters of one directory.
func ExistingIn(h home.Home, name string) (string, error) {
	if name != "" {
		return name, CheckName(name)
	}
	if os.Getenv("SKIFF_CLUSTER") != "" {
		return Named(nil)
	}
	names, err := h.Names()
	if err != nil {
		return "", err
	}
	fallback := DefaultName()
	switch {
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0 || slices.Contains(names, fallback):
		return fallback, nil
	}
	return "", cli.Invalid("choose one of "+strings.Join(names, ", "), "no cluster named %q", fallback)
}

// Explain adds the cluster's name and a hint to an error of the client.
func Explain(name string, err error) error {
	switch {
	case errors.Is(err, client.ErrNoCluster):
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("no cluster named %q", name),
			Hint:  fmt.Sprintf("run `skiff list` to see the clusters, or `skiff up %s` to create it", name), Invalid: true,
		}
	case errors.Is(err, client.ErrNoDaemon):
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("cluster %q is not running", name),
			Hint:  fmt.Sprintf("run `skiff up %s` to start it again; its data is intact", name),
		}
	case errors.Is(err, cluster.ErrNewer):
		return &daemonapi.Failure{Cause: fmt.Sprintf("cluster %q: %s", name, err), Invalid: true}
	case errors.Is(err, cluster.ErrDamaged):
		return &daemonapi.Failure{
			Cause:   fmt.Sprintf("cluster %q: %s", name, err),
			Hint:    fmt.Sprintf("restore a good copy of the file, or delete the cluster with `skiff down %s`", name),
			Invalid: true,
		}
	}
	return err
}

// Flag adds the flag -c to a command whose arguments do not name a cluster.
func Flag(cmd *cobra.Command) *string {
	name := cmd.Flags().StringP("cluster", "c", "", `cluster (default: $SKIFF_CLUSTER, the only cluster, or "skiff")`)
	_ = cmd.RegisterFlagCompletionFunc("cluster", CompleteClusters)
	return name
}

// OpenExisting is like Open, and returns the cluster's name, or an error if the cluster
// does not exist.
func OpenExisting(given string) (*client.Client, string, error) {
	c, dir, err := Open(given)
	if err != nil {
		return nil, "", err
	}
	if _, err := c.Spec(); err != nil {
		return nil, "", Explain(dir.Name(), err)
	}
	return c, dir.Name(), nil
}
