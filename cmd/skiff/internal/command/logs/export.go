package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/build"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/bundle"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/remote"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/kube"
)

// exportLimit bounds the time for each source: exports are made when something
// does not answer.
const exportLimit = time.Minute

func newExport(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export DIR",
		Short: "Export all logs and objects of a cluster to a directory and an archive",
		Long: `Export the logs of every node (kernel, console, init, containerd, node agent, control plane,
pods), the daemon's log, all objects of the Kubernetes API without the content of secrets,
status and versions to DIR, and the same to DIR.tar.gz. DIR/contents.txt lists all files,
DIR/errors.txt what could not be collected. A file is cut off at 64 MiB, the export at 1 GiB.

Certificates, keys and the content of secrets are not exported. Config maps, environment
variables and logs are exported as they are, and may contain passwords.`,
		Example: `  # Export the logs of the default cluster
  skiff logs export skiff-logs

  # Export those of the cluster "ci"
  skiff logs export -c ci "$RUNNER_TEMP/skiff-logs"`,
		Args: cli.Arguments(1, 1),
	}
	name := target.Flag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cluster, err := target.Existing(*name)
		if err != nil {
			return err
		}
		return Export(cmd.Context(), s, cluster, args[0])
	}
	return cmd
}

// Export writes a bundle of the cluster named name to dir and prints where it is.
func Export(ctx context.Context, s cli.Streams, name, dir string) error {
	c, h, err := target.Client(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(string(h.Cluster(name))); errors.Is(err, os.ErrNotExist) {
		return target.Explain(name, client.ErrNoCluster)
	}
	b, err := bundle.New(dir, bundle.DefaultLimits())
	if err != nil {
		return cli.Invalid("choose a directory that does not exist yet", "logs export: %s", err)
	}
	e := exporter{Bundle: b, client: c, dir: h.Cluster(name)}
	e.all(ctx)
	archive, failed, err := b.Finish()
	if err != nil {
		return fmt.Errorf("export logs: %w", err)
	}
	note := ""
	if failed > 0 {
		note = fmt.Sprintf("; %s could not be collected, see %s", cli.Count(failed, "item"), filepath.Join(dir, "errors.txt"))
	}
	fmt.Fprintf(s.Out, "exported the logs of cluster %q to %s and %s%s\n", name, dir, archive, note)
	return nil
}

// exporter fills a bundle with everything about one cluster.
type exporter struct {
	*bundle.Bundle
	client *client.Client
	dir    home.Cluster
}

func (e exporter) all(ctx context.Context) {
	e.json("versions.json", func() (any, error) { return build.Read() })
	for _, file := range []string{e.dir.Log(), e.dir.Log() + ".1", e.dir.Timings()} {
		e.file(filepath.Base(file), file)
	}
	e.Add(filepath.Base(e.dir.State()), func(w io.Writer) error {
		content, err := os.ReadFile(e.dir.State())
		if err == nil {
			_, err = w.Write(withoutSecrets(content))
		}
		return err
	})
	limited, cancel := context.WithTimeout(ctx, exportLimit)
	defer cancel()
	status, err := e.client.Status(limited)
	if err != nil {
		e.Fail("status", err)
	} else {
		e.json("status.json", func() (any, error) { return status, nil })
	}
	var parts sync.WaitGroup
	parts.Go(func() { e.objects(ctx) })
	for _, node := range status.Nodes {
		parts.Go(func() { e.node(ctx, node.Name) })
	}
	parts.Wait()
}

// credentials matches the beginning of the URL of a proxy in a state file that has a
// user and a password.
var credentials = regexp.MustCompile(`("https?": *"(?:[a-z0-9]+://)?)[^"]*@`)

// kubeconfigs matches the kubeconfig files of authorization webhooks in a state file, even if
// the file is damaged.
var kubeconfigs = regexp.MustCompile(`("webhookKubeconfigs": *\{)(?:[^"}]|"(?:[^"\\]|\\.)*"?)*`)

// withoutSecrets returns a state file without the passwords for proxies and without what
// authenticates the API server to webhooks.
func withoutSecrets(state []byte) []byte {
	return kubeconfigs.ReplaceAll(credentials.ReplaceAll(state, []byte("${1}***@")), []byte("${1}"))
}

// node adds a node's logs and status.
func (e exporter) node(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, exportLimit)
	defer cancel()
	dir := path.Join("nodes", name)
	for suffix, console := range map[string]string{"": e.client.ConsoleLog(name), ".1": e.client.ConsoleLog(name) + ".1"} {
		e.file(path.Join(dir, "console.log"+suffix), console)
	}
	n := e.client.Node(name)
	status, err := n.Status(ctx)
	if err != nil {
		e.Fail(dir, err)
		return
	}
	e.json(path.Join(dir, "status.json"), func() (any, error) { return status, nil })
	for _, source := range append(programs(status), "kernel") {
		e.Add(path.Join(dir, source+".log"), func(w io.Writer) error {
			log, err := n.Logs(ctx, source, 0, false)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, log)
			return errors.Join(err, log.Close())
		})
	}
	e.Add(path.Join(dir, "pods.tar.gz"), func(w io.Writer) error {
		var failure remote.Limited
		// Links are stored as such: a pod that may write there must not choose what is
		// exported.
		request := nodeapi.ExecRequest{Args: []string{"tar", "-C", "/var/log/pods", "-czf", "-", "."}}
		code, err := n.Exec(ctx, request, client.Streams{Stdout: w, Stderr: &failure})
		if err == nil && code != 0 {
			err = fmt.Errorf("tar: exit code %d: %s", code, remote.LastLine(failure.String()))
		}
		return err
	})
}

// objects adds the objects of the Kubernetes API.
func (e exporter) objects(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, exportLimit)
	defer cancel()
	kubeconfig, err := e.client.Kubeconfig(ctx)
	if err == nil {
		err = kube.Objects(ctx, kubeconfig, func(name string, content []byte, failed error) {
			if failed != nil {
				e.Fail(path.Join("objects", name), failed)
				return
			}
			e.Add(path.Join("objects", name+".json"), func(w io.Writer) error {
				_, err := w.Write(content)
				return err
			})
		})
	}
	if err != nil {
		e.Fail("objects", err)
	}
}

// file adds a file of the cluster's directory if it exists.
func (e exporter) file(name, path string) {
	relative, err := filepath.Rel(string(e.dir), path)
	if err != nil {
		e.Fail(name, err)
		return
	}
	root, err := os.OpenRoot(string(e.dir)) // no link leads out of it
	if err != nil {
		e.Fail(name, err)
		return
	}
	defer root.Close()
	file, err := root.Open(relative)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	e.Add(name, func(w io.Writer) error {
		if err != nil {
			return err
		}
		_, err := io.Copy(w, file)
		return errors.Join(err, file.Close())
	})
}

func (e exporter) json(name string, value func() (any, error)) {
	e.Add(name, func(w io.Writer) error {
		v, err := value()
		if err != nil {
			return err
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(v)
	})
}
