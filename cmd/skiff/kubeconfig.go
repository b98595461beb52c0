package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/kubeconfig"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/daemon"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/home"
)

func (a *app) kubeconfig() *cobra.Command {
	var merge bool
	var into string
	var user daemon.User
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
  skiff kubeconfig --user jane --group dev --ttl 8h >jane.kubeconfig`,
		Args:              arguments(0, 1),
		ValidArgsFunction: completeClusterArgument,
	}
	asJSON := output(cmd)
	cmd.Flags().BoolVar(&merge, "merge", false, "merge it into your kubeconfig and switch to its context")
	cmd.Flags().StringVar(&into, "kubeconfig", "", "with --merge: the `file` to merge into")
	cmd.Flags().StringVar(&user.Name, "user", "", "create a kubeconfig for this `name` instead, with its own certificate")
	cmd.Flags().StringSliceVar(&user.Groups, "group", nil, "with --user: a `group` of the user; may be repeated")
	cmd.Flags().DurationVar(&user.Lifetime, "ttl", defaultTTL, "with --user: how long the certificate is valid; it cannot be revoked")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if err := checkUser(cmd, user, merge); err != nil {
			return err
		}
		c, dir, err := a.open(first(args))
		if err != nil {
			return err
		}
		content, err := kubeconfigFor(cmd.Context(), c, user)
		if err != nil {
			return about(dir.Name(), err)
		}
		switch {
		case merge:
			path, err := mergeInto(cmd.Context(), content, dir, into)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "merged into %s; the current context is now %q\n", path, kubeconfig.Context(dir.Name()))
			return nil
		case inJSON:
			if content, err = yaml.YAMLToJSON(content); err != nil {
				return fmt.Errorf("convert the kubeconfig: %w", err)
			}
			content = append(content, '\n')
		}
		_, err = a.stdout.Write(content)
		return err
	}
	return cmd
}

// Lifetimes of other users' certificates.
const (
	defaultTTL = 8 * time.Hour
	leastTTL   = time.Minute
	mostTTL    = 365 * 24 * time.Hour
)

// checkUser refuses what would be somebody else's identity, or nobody's.
func checkUser(cmd *cobra.Command, user daemon.User, merge bool) error {
	if user.Name == "" {
		for _, flag := range []string{"user", "group", "ttl"} {
			if cmd.Flags().Changed(flag) {
				return invalid("for example: --user jane --group dev --ttl 8h", "--%s requires --user", flag)
			}
		}
		return nil
	}
	switch {
	case merge:
		return invalid("redirect the output to a file instead", "--merge cannot be combined with --user")
	case strings.HasPrefix(user.Name, "system:"):
		return invalid("choose another name", "--user %s: names that start with \"system:\" are reserved for Kubernetes", user.Name)
	case slices.ContainsFunc(user.Groups, func(g string) bool { return g == "" || strings.HasPrefix(g, "system:") }):
		return invalid("choose another group and bind a role to it", "--group: groups that start with \"system:\" are reserved for Kubernetes")
	case user.Lifetime < leastTTL || user.Lifetime > mostTTL:
		return invalid("", "invalid --ttl %s: must be between %s and %s", user.Lifetime, leastTTL, mostTTL)
	}
	return nil
}

func kubeconfigFor(ctx context.Context, c *client.Client, user daemon.User) ([]byte, error) {
	if user.Name == "" {
		return c.Kubeconfig(ctx)
	}
	return c.UserKubeconfig(user)
}

// merge is what mergeKubeconfig did; into is empty if it did nothing.
type merge struct{ into, context string }

// mergeKubeconfig merges the cluster's kubeconfig into path, the user's if it
// is empty. A cluster that is up is up even if that fails: it only warns.
func (a *app) mergeKubeconfig(ctx context.Context, c *client.Client, dir home.Cluster, path string) merge {
	if path == "none" {
		return merge{}
	}
	content, err := c.Kubeconfig(ctx)
	if err == nil {
		path, err = mergeInto(ctx, content, dir, path)
	}
	if err != nil {
		report(a.stderr, fmt.Errorf("the cluster is running, but its kubeconfig was not merged: %w", err))
		return merge{}
	}
	return merge{into: path, context: kubeconfig.Context(dir.Name())}
}

func mergeInto(ctx context.Context, content []byte, dir home.Cluster, path string) (string, error) {
	var err error
	if path == "" {
		path, err = kubeconfig.UserPath()
	} else {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", err
	}
	// Recorded first, so that down finds it whatever happens in between.
	if err := recordKubeconfig(dir, path); err != nil {
		return "", err
	}
	return path, kubeconfig.Merge(ctx, path, content)
}

// recordFile lists, in a cluster's directory, the kubeconfigs it was merged into.
const recordFile = "kubeconfigs.json"

func recordedKubeconfigs(dir home.Cluster) ([]string, error) {
	content, err := os.ReadFile(filepath.Join(string(dir), recordFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of merged kubeconfigs: %w", err)
	}
	var paths []string
	if err := json.Unmarshal(content, &paths); err != nil {
		return nil, fmt.Errorf("read %s: %w", recordFile, err)
	}
	return paths, nil
}

func recordKubeconfig(dir home.Cluster, path string) error {
	paths, err := recordedKubeconfigs(dir)
	if err != nil || slices.Contains(paths, path) {
		return err
	}
	content, err := json.Marshal(append(paths, path))
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(string(dir), recordFile), content, 0o600); err != nil {
		return fmt.Errorf("record the merged kubeconfig: %w", err)
	}
	return nil
}
