// Package autostart holds the commands that make clusters start when their user logs in.
package autostart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/autostart"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// entry is a cluster as the list shows it.
type entry struct {
	Name string `json:"name"`
	// Autostart is set if the cluster starts when the user logs in.
	Autostart bool `json:"autostart"`
	// File is that of systemd or launchd; empty if Autostart is not set.
	File string `json:"file,omitempty"`
}

// New returns the command `autostart`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "autostart",
		Short: "Start clusters when you log in",
		Long: `List which clusters start when you log in. "skiff autostart on" and "skiff autostart off"
change that: with a unit of systemd's user manager on Linux, and an agent of launchd on
macOS. Neither needs root. "skiff down" removes them.

On Linux, the cluster is shut down in an orderly way after your last logout and when the
host shuts down. "loginctl enable-linger" makes it start with the host, before you log in,
and keep running after you log out.`,
		Example: `  # List your clusters
  skiff autostart

  # Start the default cluster when you log in
  skiff autostart on

  # Start the cluster named "ci" only by hand
  skiff autostart off ci`,
		Args: cobra.ArbitraryArgs,
	}
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return cli.Group(cmd, args)
		}
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		return list(s, inJSON)
	}
	cmd.AddCommand(newOn(s), newOff(s), newRun(s))
	return cmd
}

func list(s cli.Streams, asJSON bool) error {
	h, err := target.Home()
	if err != nil {
		return err
	}
	names, err := h.Names()
	if err != nil {
		return err
	}
	all, rows := []entry{}, [][]string{{"NAME", "AUTOSTART", "FILE"}}
	login, err := autostart.Open()
	if err != nil && !errors.Is(err, autostart.ErrUnavailable) {
		return err
	}
	available := err == nil
	for _, name := range names {
		e, state := entry{Name: name}, "off"
		if dir := h.Cluster(name); available && login.IsOn(dir) {
			e.Autostart, e.File, state = true, login.Path(dir), "on"
		}
		all = append(all, e)
		rows = append(rows, []string{name, state, e.File})
	}
	if asJSON {
		return s.JSON(all)
	}
	if len(all) == 0 {
		fmt.Fprintln(s.Err, "no clusters; run `skiff up` to create one")
		return nil
	}
	return s.Table(rows)
}

// open returns the cluster of a command, and what starts it at login.
func open(args []string) (home.Cluster, autostart.Login, error) {
	dir, err := existing(args)
	if err != nil {
		return "", autostart.Login{}, err
	}
	login, err := autostart.Open()
	if err != nil {
		return "", autostart.Login{}, unavailable(err)
	}
	return dir, login, nil
}

func newOn(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "on [NAME]",
		Short: "Start a cluster when you log in",
		Long: `Start the cluster NAME when you log in, from the next login on, with the settings of its
last "skiff up". Turning it on again updates the path of skiff and PATH.`,
		Example: `  # Start the default cluster when you log in
  skiff autostart on`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, login, err := open(args)
			if err != nil {
				return err
			}
			command, err := commandOf(dir)
			if err != nil {
				return err
			}
			if err := login.On(cmd.Context(), dir, command); err != nil {
				return unavailable(err)
			}
			fmt.Fprintf(s.Out, "cluster %q will start when you log in (%s)\n", dir.Name(), login.Path(dir))
			return nil
		},
	}
}

func newOff(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "off [NAME]",
		Short: "Start a cluster only by hand",
		Long: `Start the cluster NAME only by hand. A cluster that is running keeps running. Turning off
what is off does nothing.`,
		Example: `  # Start the default cluster only by hand
  skiff autostart off`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, login, err := open(args)
			if err != nil {
				return err
			}
			was, err := login.Off(cmd.Context(), dir)
			switch {
			case err != nil:
				return err
			case was:
				fmt.Fprintf(s.Out, "cluster %q will no longer start when you log in\n", dir.Name())
			default:
				fmt.Fprintf(s.Out, "cluster %q does not start when you log in: nothing to do\n", dir.Name())
			}
			return nil
		},
	}
}

// newRun returns the hidden command that systemd and launchd run.
func newRun(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:    "run NAME",
		Short:  "Start a cluster with the settings of its last skiff up",
		Hidden: true,
		Args:   cli.Arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, name, err := target.OpenExisting(args[0])
			if err != nil {
				return err
			}
			spec, err := c.Spec()
			if err != nil {
				return target.Explain(name, err)
			}
			return s.Show(cmd.Context(), false, func(ctx context.Context, event func(daemonapi.Event)) error {
				return target.Explain(name, c.Apply(ctx, spec, event))
			})
		},
	}
}

// existing returns the directory of the cluster that the arguments name.
func existing(args []string) (home.Cluster, error) {
	c, dir, err := target.Open(cli.First(args))
	if err != nil {
		return "", err
	}
	if _, err := c.Spec(); err != nil {
		return "", target.Explain(dir.Name(), err)
	}
	return dir, nil
}

// commandOf returns how the cluster is started and stopped outside of a terminal.
func commandOf(dir home.Cluster) (autostart.Command, error) {
	program, err := stablePath()
	if err != nil {
		return autostart.Command{}, err
	}
	root, err := filepath.Abs(string(dir.Home()))
	if err != nil {
		return autostart.Command{}, err
	}
	c := autostart.Command{
		Program: program, Start: []string{"autostart", "run", dir.Name()}, Stop: []string{"stop", dir.Name()},
		Environment: []string{"SKIFF_HOME=" + root},
		Log:         filepath.Join(string(home.Home(root).Cluster(dir.Name())), "autostart.log"),
	}
	if path := os.Getenv("PATH"); path != "" { // where QEMU is found
		c.Environment = append(c.Environment, "PATH="+path)
	}
	if images := os.Getenv("SKIFF_IMAGE_DIR"); images != "" {
		if images, err = filepath.Abs(images); err != nil {
			return autostart.Command{}, err
		}
		c.Environment = append(c.Environment, "SKIFF_IMAGE_DIR="+images)
	}
	return c, nil
}

// stablePath returns the path of this program. If PATH has a link to it, that is returned:
// releases are installed side by side, and the link leads to the current one.
func stablePath() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("locate the skiff executable: %w", err)
	}
	found, err := exec.LookPath(filepath.Base(program))
	if err != nil {
		return program, nil //nolint:nilerr // it was started by its path
	}
	if found, err = filepath.Abs(found); err != nil {
		return program, nil //nolint:nilerr // as above
	}
	this, err1 := os.Stat(program)
	other, err2 := os.Stat(found)
	if err1 == nil && err2 == nil && os.SameFile(this, other) {
		return found, nil
	}
	return program, nil
}

// unavailable adds what the user can do if nothing starts programs at login.
func unavailable(err error) error {
	if !errors.Is(err, autostart.ErrUnavailable) {
		return err
	}
	return &daemonapi.Failure{
		Cause:   err.Error(),
		Hint:    "log in as this user, not by sudo or su, or start the cluster by other means: `skiff up` is safe to run again",
		Invalid: true,
	}
}
