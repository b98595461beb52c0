// Package kubeconfig holds the command `kubeconfig`.
package kubeconfig

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/kubeconfig"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/daemon/client"
)

// New returns the command `kubeconfig`.
func New(s cli.Streams) *cobra.Command {
	var merge bool
	var at server
	var into string
	var user credentials.User
	cmd := &cobra.Command{
		Use:   "kubeconfig [NAME]",
		Short: "Print a cluster's kubeconfig, or merge it into yours",
		Long: `Print the admin kubeconfig of a cluster, merge it into your kubeconfig, or create
one for another user with a client certificate of its own.`,
		Example: `  # Save the default cluster's kubeconfig
  skiff kubeconfig >config

  # Merge the kubeconfig of the cluster "ci" into yours
  skiff kubeconfig ci --merge

  # Create a kubeconfig for another user, valid for eight hours
  skiff kubeconfig --user jane --group dev --ttl 8h >jane.kubeconfig

  # Let pods of the cluster "hub" use the cluster "spoke"
  skiff up spoke --peer hub
  skiff kubeconfig spoke --internal >spoke.kubeconfig

  # Create one for another machine, after "skiff up --api-address 192.168.1.10"
  skiff kubeconfig --user jane --server 192.168.1.10 >jane.kubeconfig`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteClusterArgument,
	}
	asJSON := cli.Output(cmd)
	cmd.Flags().BoolVar(&merge, "merge", false, "merge it into your kubeconfig and switch to its context")
	cmd.Flags().StringVar(&into, "kubeconfig", "", "with --merge: the `file` to merge into")
	cmd.Flags().StringVar(&user.Name, "user", "", "create a kubeconfig for this `name` instead, with its own certificate")
	cmd.Flags().StringSliceVar(&user.Groups, "group", nil, "with --user: a `group` of the user; may be repeated")
	cmd.Flags().DurationVar(&user.Lifetime, "ttl", defaultTTL, "with --user: how long the certificate is valid; it cannot be revoked")
	cmd.Flags().StringVar(&at.host, "server", "", "`address` or name of the API instead of 127.0.0.1")
	cmd.Flags().BoolVar(&at.internal, "internal", false, "for pods of other clusters: use the API's name in skiff.internal")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if err := checkUser(cmd, user, merge); err != nil {
			return err
		}
		if err := at.check(merge); err != nil {
			return err
		}
		c, dir, err := target.Open(cli.First(args))
		if err != nil {
			return err
		}
		content, err := kubeconfigFor(cmd.Context(), c, user)
		if err != nil {
			return target.Explain(dir.Name(), err)
		}
		if content, err = at.apply(dir.Name(), content); err != nil {
			return err
		}
		switch {
		case merge:
			path, err := kubeconfig.MergeCluster(cmd.Context(), dir, into, content)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.Out, "merged into %s; the current context is now %q\n", path, kubeconfig.Context(dir.Name()))
			return nil
		case inJSON:
			if content, err = yaml.YAMLToJSON(content); err != nil {
				return fmt.Errorf("convert the kubeconfig: %w", err)
			}
			content = append(content, '\n')
		}
		_, err = s.Out.Write(content)
		return err
	}
	return cmd
}

// Lifetimes of the certificates of other users.
const (
	defaultTTL = 8 * time.Hour
	leastTTL   = time.Minute
	mostTTL    = 365 * 24 * time.Hour
)

// checkUser rejects identities that are reserved or incomplete.
func checkUser(cmd *cobra.Command, user credentials.User, merge bool) error {
	if user.Name == "" {
		for _, flag := range []string{"user", "group", "ttl"} {
			if cmd.Flags().Changed(flag) {
				return cli.Invalid("for example: --user jane --group dev --ttl 8h", "--%s requires --user", flag)
			}
		}
		return nil
	}
	switch {
	case merge:
		return cli.Invalid("redirect the output to a file instead", "--merge cannot be combined with --user")
	case names.Reserved(user.Name):
		return cli.Invalid("choose another name", "--user %s: %s and names that start with \"system:\" or \"skiff:\" are reserved", user.Name, names.UserAdmin)
	case slices.Contains(user.Groups, ""):
		return cli.Invalid("for example: --user jane --group dev", "--group: the name must not be empty")
	case slices.ContainsFunc(user.Groups, names.Reserved):
		return cli.Invalid("choose another group and bind a role to it", "--group: names that start with \"system:\" or \"skiff:\" are reserved")
	case user.Lifetime < leastTTL || user.Lifetime > mostTTL:
		return cli.Invalid("", "invalid --ttl %s: must be between %s and %s", user.Lifetime, leastTTL, mostTTL)
	}
	return nil
}

// server is where clients find the API.
type server struct {
	host     string // empty for 127.0.0.1
	internal bool
}

// check rejects what is neither a name nor an address, and combinations without a
// meaning.
func (s server) check(merge bool) error {
	switch _, err := netip.ParseAddr(s.host); {
	case s.host != "" && s.internal:
		return cli.Invalid("choose one of them", "--server cannot be combined with --internal")
	case merge && (s.host != "" || s.internal):
		return cli.Invalid("redirect the output to a file instead", "--merge cannot be combined with --server or --internal")
	case s.host != "" && err != nil && len(validation.IsDNS1123Subdomain(s.host)) > 0:
		return cli.Invalid("use a name or an address without a port", "invalid --server %q", s.host)
	}
	return nil
}

// apply returns the kubeconfig of a cluster for clients there.
func (s server) apply(name string, content []byte) ([]byte, error) {
	switch {
	case s.internal:
		return kubeconfig.WithHost(content, cluster.InternalName(name), strconv.Itoa(cluster.InternalPort))
	case s.host != "":
		return kubeconfig.WithHost(content, s.host, "")
	}
	return content, nil
}

func kubeconfigFor(ctx context.Context, c *client.Client, user credentials.User) ([]byte, error) {
	if user.Name == "" {
		return c.Kubeconfig(ctx)
	}
	return c.UserKubeconfig(user)
}
