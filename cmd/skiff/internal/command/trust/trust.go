// Package trust holds the commands that make the host's programs trust the local
// certificate authority.
package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/edge/authority"
	"github.com/skiff-dev/skiff/vm/edge/trust"
)

// New returns the command `trust`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Manage trust in the local certificate authority",
		Long: `Manage trust in the local certificate authority, which signs the certificates of
https://SERVICE.NAMESPACE.CLUSTER.localhost. It is created on this host and can only sign
names below "localhost".`,
		Example: `  # Let browsers and curl trust the names of all clusters
  skiff trust install

  # Stop trusting them
  skiff trust remove`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newInstall(s), newRemove(s), newStatus(s))
	return cmd
}

func newInstall(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "install",
		Short: "Make this host's programs trust the local certificate authority",
		Long: `Make this host's programs trust the local certificate authority: those that use the
system's certificates, and Firefox and Chromium, which have their own databases. Only
the system's certificates need root; skiff runs sudo, which may ask for your password.
The browsers' databases need the program certutil.`,
		Example: `  # Install the authority everywhere
  skiff trust install

  # Trust the authority in one program only
  curl --cacert ~/.skiff/authority/ca.crt https://web.default.skiff.localhost`,
		Args: cli.Arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := target.Home()
			if err != nil {
				return err
			}
			a, err := authority.Open(h.Authority(), time.Now())
			if err != nil {
				return err
			}
			return install(cmd.Context(), s, a)
		},
	}
}

func install(ctx context.Context, s cli.Streams, a *authority.Authority) error {
	stores, err := storesOf(ctx, a)
	if err != nil {
		return err
	}
	if len(stores) == 0 {
		return cli.Invalid("import "+a.File()+" into your programs yourself", "this host has no known certificate store")
	}
	run := runner(s)
	var failures []error
	for _, one := range stores {
		switch {
		case one.Missing != "":
			fmt.Fprintf(s.Text(), "%s: skipped, because %s is not installed\n", one.Name, one.Missing)
		case one.Trusted:
			fmt.Fprintf(s.Text(), "%s: already trusted\n", one.Name)
		default:
			announce(s, run, one, "install")
			if err := run.Run(ctx, one.store, one.store.Install); err != nil {
				failures = append(failures, err)
				continue
			}
			fmt.Fprintf(s.Text(), "%s: installed\n", one.Name)
		}
	}
	return errors.Join(failures...)
}

// announce tells the user that sudo may ask for a password, and why.
func announce(s cli.Streams, run trust.Runner, one state, verb string) {
	if one.NeedsRoot && !run.Root {
		fmt.Fprintf(s.Text(), "%s: needs root to %s the certificate; sudo may ask for your password\n", one.Name, verb)
	}
}

func newRemove(s cli.Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "remove",
		Short: "Remove the local certificate authority from this host's stores",
		Long: `Remove the local certificate authority from all stores of this host. The authority itself
stays in $SKIFF_HOME for running clusters.`,
		Example: `  # Stop trusting the authority
  skiff trust remove`,
		Args: cli.Arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := existing()
			if err != nil {
				return err
			}
			if a == nil {
				fmt.Fprintln(s.Text(), absent)
				return nil
			}
			return remove(cmd.Context(), s, a)
		},
	}
}

func remove(ctx context.Context, s cli.Streams, a *authority.Authority) error {
	stores, err := storesOf(ctx, a)
	if err != nil {
		return err
	}
	run := runner(s)
	removed := false
	var failures []error
	for _, one := range stores {
		if !one.Trusted {
			continue
		}
		removed = true
		announce(s, run, one, "remove")
		if err := run.Run(ctx, one.store, one.store.Remove); err != nil {
			failures = append(failures, err)
			continue
		}
		fmt.Fprintf(s.Text(), "%s: removed\n", one.Name)
	}
	if !removed {
		fmt.Fprintln(s.Text(), "no store of this host trusts the local certificate authority")
	}
	return errors.Join(failures...)
}

// absent is shown as long as the authority does not exist.
const absent = "the local certificate authority does not exist yet: create it with `skiff trust install`, or start a cluster"

func newStatus(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which stores trust the local certificate authority",
		Example: `  # Show all stores
  skiff trust status

  # Use it in a script
  skiff trust status -o json`,
		Args: cli.Arguments(0, 0),
	}
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		a, err := existing()
		if err != nil {
			return err
		}
		if a == nil {
			if inJSON {
				return s.JSON(report{Stores: []state{}})
			}
			fmt.Fprintln(s.Text(), absent)
			return nil
		}
		stores, err := storesOf(cmd.Context(), a)
		if err != nil {
			return err
		}
		if inJSON {
			return s.JSON(report{Certificate: a.File(), Fingerprint: a.Fingerprint(), Expires: &a.Certificate().NotAfter, Stores: stores})
		}
		fmt.Fprintf(s.Text(), "Certificate %s, valid until %s\n\n", a.File(), a.Certificate().NotAfter.Format(time.DateOnly))
		rows := [][]string{{"STORE", "TRUSTED", "MESSAGE"}}
		for _, one := range stores {
			trusted, message := "no", ""
			if one.Trusted {
				trusted = "yes"
			}
			if one.Missing != "" {
				trusted, message = "unknown", one.Missing+" is not installed"
			}
			rows = append(rows, []string{one.Name, trusted, message})
		}
		return s.Table(rows)
	}
	return cmd
}

// report is the output of status in JSON.
type report struct {
	Certificate string     `json:"certificate,omitempty"`
	Fingerprint string     `json:"fingerprint,omitempty"`
	Expires     *time.Time `json:"expires,omitempty"`
	Stores      []state    `json:"stores"`
}

// state is a store of this host.
type state struct {
	Name      string `json:"name"`
	Trusted   bool   `json:"trusted"`
	NeedsRoot bool   `json:"needsRoot"`
	// Missing is the program without which the store can neither be read nor changed.
	Missing string `json:"missing,omitempty"`

	store trust.Store
}

// existing returns the authority; nil if it does not exist. It creates nothing.
func existing() (*authority.Authority, error) {
	h, err := target.Home()
	if err != nil {
		return nil, err
	}
	a, err := authority.Read(h.Authority())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return a, err
}

// storesOf returns the stores of this host.
func storesOf(ctx context.Context, a *authority.Authority) ([]state, error) {
	dir, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("find the home directory: %w", err)
	}
	all := []state{}
	for _, store := range trust.Plan(trust.Look(dir), trust.Of(a)) {
		trusted, err := trust.Installed(ctx, store, a.Certificate())
		if err != nil {
			return nil, err
		}
		all = append(all, state{Name: store.Name, Trusted: trusted, NeedsRoot: store.Root, Missing: store.Missing, store: store})
	}
	return all, nil
}

func runner(s cli.Streams) trust.Runner {
	return trust.Runner{Root: os.Geteuid() == 0, In: s.In, Err: s.Err}
}
