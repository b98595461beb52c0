// Package pki holds the commands that show and replace a cluster's authorities.
package pki

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/kubeconfig"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
)

// New returns the command `pki`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pki",
		Short: "Show and replace the cluster's authorities and certificates",
		Example: `  # Show the authorities and certificates of the default cluster
  skiff pki status

  # Replace all authorities and keys of the default cluster
  skiff pki rotate`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	cmd.AddCommand(newStatus(s), newRotate(s))
	return cmd
}

func newStatus(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [CLUSTER]",
		Short: "Show the authorities, who signed which certificate, and a replacement in progress",
		Example: `  # Show the authorities and certificates of the default cluster
  skiff pki status

  # Print those of the cluster "ci" as JSON, with fingerprints
  skiff pki status ci -o json`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		c, name, err := target.OpenExisting(cli.First(args))
		if err != nil {
			return err
		}
		described, err := c.PKI(cmd.Context())
		if err != nil {
			return target.Explain(name, err)
		}
		if inJSON {
			return s.JSON(described)
		}
		return show(s, described)
	}
	return cmd
}

// shortID is how many characters of a key's ID are shown.
const shortID = 12

func short(id string) string { return cli.Clean(id[:min(len(id), shortID)]) }

func date(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

func show(s cli.Streams, described daemonapi.PKI) error {
	rows := [][]string{{"AUTHORITY", "SUBJECT", "KEY", "EXPIRES", "GENERATION", "SIGNS"}}
	for _, a := range described.Authorities {
		rows = append(rows, []string{optionOf(a.Name), orDash(a.Subject), short(a.ID), date(a.Expires), a.Generation, map[bool]string{true: "yes", false: "no"}[a.Signs]})
	}
	if err := s.Table(rows); err != nil {
		return err
	}
	fmt.Fprintln(s.Text())
	rows = [][]string{{"NODE", "CERTIFICATE", "SUBJECT", "EXPIRES", "SIGNED BY", "GENERATION"}}
	for _, c := range described.Certificates {
		rows = append(rows, []string{orDash(c.Node), cli.Clean(c.Name), orDash(c.Subject), date(c.Expires), orDash(short(c.Issuer)), c.Generation})
	}
	if err := s.Table(rows); err != nil {
		return err
	}
	if r := described.Rotation; r != nil {
		fmt.Fprintf(s.Text(), "\n%s\n", progress(*r))
	}
	return nil
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return cli.Clean(text)
}

// progress describes a rotation in one line.
func progress(r daemonapi.Rotation) string {
	var names []string
	for _, name := range r.Names {
		names = append(names, optionOf(name))
	}
	what := strings.Join(names, ", ")
	switch r.Phase {
	case daemonapi.PhaseTrust:
		return "Replacing " + what + ": old keys sign, new ones are trusted as well. \"skiff pki rotate\" continues."
	case daemonapi.PhaseIssue:
		return "Replacing " + what + ": new keys sign, old ones are trusted as well. \"skiff pki rotate\" continues."
	}
	until := "for a moment"
	if !r.TokensUntil.IsZero() {
		until = "until " + r.TokensUntil.Local().Format("2006-01-02 15:04") + ", or until all pods have renewed theirs"
	}
	return "Replaced " + what + ". Old tokens of service accounts are accepted " + until + "."
}

// options are the values of --only and what they stand for.
func options() map[string]string {
	return map[string]string{
		"cluster": "ca", "front-proxy": "front-proxy-ca", "etcd": "etcd/ca", "node-api": "host-ca", "cloud": "cloud-ca", "service-accounts": pki.ServiceAccounts,
	}
}

// optionOf returns the value of --only for a name of package pki.
func optionOf(name string) string {
	for option, other := range options() {
		if other == name {
			return option
		}
	}
	return cli.Clean(name)
}

// chosen returns the names of package pki, in its order, for values of --only.
func chosen(values []string) ([]string, error) {
	known := options()
	wanted := map[string]bool{}
	for _, value := range values {
		name, ok := known[value]
		if !ok {
			return nil, cli.Invalid("choose one or more of "+strings.Join(slices.Sorted(maps.Keys(known)), ", "), "invalid --only %q", value)
		}
		wanted[name] = true
	}
	return slices.DeleteFunc(pki.RotationNames(), func(name string) bool { return !wanted[name] }), nil
}

func newRotate(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate [CLUSTER]",
		Short: "Replace the cluster's authorities and signing keys while it runs",
		Long: `Replace the authorities of a running cluster, the key of service account tokens, and every
certificate that depends on them. Nothing loses its connection to the API, and no pod restarts.
It takes about nine minutes, most of which is for programs to notice the new authorities. If the
command is interrupted, run it again to continue.

Afterwards old certificates are refused, those in kubeconfigs for other users as well. Old tokens
are accepted for about an hour, until kubelets have renewed those in pods, or are renewed at once
with --revoke-tokens. Kubeconfigs that this cluster was merged into are updated.

Programs in pods that read the cluster's authority only when they start must be restarted in
between: stop with --prepare, restart them, and run the command again.

With several control planes, each is restarted twice for etcd, one after another, unless --only
leaves etcd out. No kubelet restarts unless --revoke-tokens is set.`,
		Example: `  # Replace everything in the default cluster
  skiff pki rotate

  # Replace only the key of service account tokens, and refuse old tokens now
  skiff pki rotate --only service-accounts --revoke-tokens

  # Let everything trust the new authorities, restart your workloads, and continue
  skiff pki rotate ci --prepare
  kubectl rollout restart deployment -n shop
  skiff pki rotate ci`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	var only []string
	var request daemonapi.RotateAuthorities
	cmd.Flags().StringSliceVar(&only, "only", nil, "replace only this `authority`: "+strings.Join(slices.Sorted(maps.Keys(options())), ", ")+"; may be repeated")
	cmd.Flags().BoolVar(&request.Prepare, "prepare", false, "stop once everything trusts the new authorities beside the old ones")
	cmd.Flags().BoolVar(&request.Revoke, "revoke-tokens", false, "restart kubelets one after another to renew the tokens in pods, then refuse old ones")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("only", cobra.FixedCompletions(slices.Sorted(maps.Keys(options())), cobra.ShellCompDirectiveNoFileComp)))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if request.Only, err = chosen(only); err != nil {
			return err
		}
		if len(only) == 0 {
			request.Only = nil
		}
		c, dir, err := target.Open(cli.First(args))
		if err != nil {
			return err
		}
		if _, err := c.Spec(); err != nil {
			return target.Explain(dir.Name(), err)
		}
		err = s.Show(cmd.Context(), inJSON, func(ctx context.Context, event func(daemonapi.Event)) error {
			return c.RotateAuthorities(ctx, request, func(e daemonapi.Event) {
				// From now on the API server may present a certificate of the new authority.
				if e.Phase == daemonapi.PhaseTrust && e.State == daemonapi.StateDone || e.Done {
					updateKubeconfigs(ctx, s, c, dir)
				}
				event(e)
			})
		})
		if err != nil {
			return fmt.Errorf("replace the authorities: %w", target.Explain(dir.Name(), err))
		}
		return nil
	}
	return cmd
}

// updateKubeconfigs replaces the cluster's credentials where they were merged into. A
// failure is only a warning.
func updateKubeconfigs(ctx context.Context, s cli.Streams, c *client.Client, dir home.Cluster) {
	content, err := c.Kubeconfig(ctx)
	if err == nil {
		err = kubeconfig.RenewRecorded(ctx, dir, content)
	}
	if err != nil {
		s.Report(fmt.Errorf("a kubeconfig was not updated: %w", err))
	}
}
