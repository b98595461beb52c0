// Package logs holds the commands `logs`, `logs export` and `logs serve`.
package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/tail"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Sources that are files on this host. The node serves all others.
const (
	sourceDaemon  = "daemon"
	sourceConsole = "console"
)

// New returns the command `logs`.
func New(s cli.Streams) *cobra.Command {
	var follow bool
	var lines int
	var source string
	var q search
	cmd := &cobra.Command{
		Use:   "logs [NODE]",
		Short: "Show the logs of nodes or of the daemon, or search those of pods",
		Long: `Show the last lines of the logs of every program on NODE, or on all nodes.

Sources on a node are its programs ("containerd", "nodeagent", "controlplane", "builder"),
"init" and "kernel". Sources on this host are "console" (the node's serial console) and
"daemon" (the cluster's daemon).

With --pod, --namespace, --selector, --container, --since, --until, --query or -o json, search the
cluster's log store instead. It has the output of containers, programs and kernels, the audit
log, and events, including those of pods, nodes and clusters that no longer exist; --cluster
also accepts the ID of kept records. --source then selects "container", "program", "kernel",
"audit", "event" or a program.`,
		Example: `  # Show the last lines of every log of a node
  skiff logs worker-1

  # Follow one log
  skiff logs worker-1 --source nodeagent -f

  # Show the daemon's whole log
  skiff logs --source daemon --tail 0

  # Search the logs of pods, including deleted ones
  skiff logs --namespace shop --selector app=web --since 2h --query 'error -timeout'

  # Count the errors of each pod
  skiff logs --query 'error | stats by (namespace, pod) count()'

  # Show a node's serial console
  skiff logs control-plane-1 --source console`,
		Args:              cli.Arguments(0, 1),
		ValidArgsFunction: target.CompleteNode,
	}
	name := target.Flag(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "follow the logs")
	cmd.Flags().IntVar(&lines, "tail", 50, "number of lines from the end of each log; 0 shows all")
	cmd.Flags().StringVar(&source, "source", "", "show only this log `source`")
	q.flags(cmd)
	asJSON := cli.Output(cmd)
	_ = cmd.RegisterFlagCompletionFunc("source", cobra.FixedCompletions([]string{
		sourceDaemon, sourceConsole, "init", "kernel", "containerd", "nodeagent", "controlplane", "builder",
	}, cobra.ShellCompDirectiveNoFileComp))
	cmd.AddCommand(newExport(s), newServe(s))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if lines < 0 {
			return cli.Invalid("", "--tail must not be negative")
		}
		if source == sourceDaemon && len(args) > 0 {
			return cli.Invalid("", "--source daemon cannot be combined with a node (%q): the daemon belongs to the cluster", args[0])
		}
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		if q.wanted(cmd) {
			q.node, q.source, q.logRange, q.json = cli.First(args), source, logRange{lines, follow}, inJSON
			return q.run(cmd.Context(), s, *name)
		}
		logs, err := openLogs(cmd.Context(), s, *name, cli.First(args), source, logRange{lines, follow})
		if err != nil {
			return err
		}
		return copyLogs(s.Text(), logs)
	}
	return cmd
}

// logRange selects a part of a log.
type logRange struct {
	lines  int
	follow bool
}

// openLog is a log that is being read. Its lines are prefixed with label if there
// are several logs.
type openLog struct {
	label string
	io.ReadCloser
}

func openLogs(ctx context.Context, s cli.Streams, clusterName, node, source string, r logRange) ([]openLog, error) {
	if source == sourceDaemon {
		return daemonLog(ctx, clusterName, r)
	}
	c, status, err := target.Observe(ctx, clusterName)
	if err != nil {
		return nil, err
	}
	if status.Phase == "paused" && !status.WakesOnUse && source != sourceConsole {
		return nil, daemonapi.Paused(status.Name)
	}
	nodes := target.NodeNames(status)
	if node != "" {
		if err := target.CheckNode(node, nodes); err != nil {
			return nil, err
		}
		nodes = []string{node}
	}
	var logs []openLog
	var failed []error
	for _, name := range nodes {
		some, err := nodeLogs(ctx, c, name, source, r)
		logs, failed = append(logs, some...), append(failed, err)
	}
	if len(logs) == 0 {
		return nil, errors.Join(failed...)
	}
	for _, err := range failed {
		s.Report(err) // the logs of the other nodes are still shown
	}
	return logs, nil
}

// daemonLog opens the log of the daemon. It works without a running daemon and
// without a valid state file.
func daemonLog(ctx context.Context, clusterName string, r logRange) ([]openLog, error) {
	name, err := target.Existing(clusterName)
	if err != nil {
		return nil, err
	}
	h, err := target.Home()
	if err != nil {
		return nil, err
	}
	reader, err := tail.Open(ctx, h.Cluster(name).Log(), r.lines, r.follow)
	if errors.Is(err, os.ErrNotExist) {
		return nil, target.Explain(name, client.ErrNoCluster)
	}
	return []openLog{{sourceDaemon, reader}}, err
}

// nodeLogs opens one log of a node, or those of all its programs if source is
// empty.
func nodeLogs(ctx context.Context, c *client.Client, node, source string, r logRange) ([]openLog, error) {
	if source == sourceConsole {
		reader, err := tail.Open(ctx, c.ConsoleLog(node), r.lines, r.follow)
		if err != nil {
			return nil, fmt.Errorf("read the console log of node %s: %w", node, err)
		}
		return []openLog{{node, reader}}, nil
	}
	n := c.Node(node)
	status, err := n.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the logs of node %s (try --source console): %w", node, err)
	}
	sources := []string{source}
	if source == "" {
		sources = programs(status)
	} else if err := checkSource(source, status); err != nil {
		return nil, err
	}
	var logs []openLog
	for _, name := range sources {
		reader, err := n.Logs(ctx, name, r.lines, r.follow)
		if err != nil {
			for _, opened := range logs {
				opened.Close()
			}
			return nil, fmt.Errorf("read the log %q of node %s: %w", name, node, err)
		}
		logs = append(logs, openLog{node + " " + name, reader})
	}
	return logs, nil
}

func programs(status nodeapi.Status) []string {
	var names []string
	for _, p := range status.Programs {
		names = append(names, p.Name)
	}
	return append(names, "init")
}

func checkSource(source string, status nodeapi.Status) error {
	known := append(programs(status), "kernel", sourceConsole, sourceDaemon)
	for _, k := range known {
		if k == source {
			return nil
		}
	}
	hint := "choose one of " + strings.Join(known, ", ")
	if meant := nearest.Of(source, known); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	return cli.Invalid(hint, "node %s has no log %q", status.Node, source)
}

// copyLogs prints logs concurrently, line by line.
func copyLogs(to io.Writer, logs []openLog) error {
	out := &lineWriter{to: to}
	failed := make([]error, len(logs))
	var wg sync.WaitGroup
	for i, log := range logs {
		wg.Go(func() {
			defer log.Close()
			prefix := ""
			if len(logs) > 1 {
				prefix = log.label + " | "
			}
			failed[i] = out.copy(log, prefix)
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

type lineWriter struct {
	mu sync.Mutex // guards to
	to io.Writer
}

// copy writes the lines of in, each after prefix. A line longer than the buffer is
// split.
func (w *lineWriter) copy(in io.Reader, prefix string) error {
	reader := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := reader.ReadSlice('\n')
		if len(line) > 0 {
			text := prefix + string(line)
			if !strings.HasSuffix(text, "\n") {
				text += "\n"
			}
			w.mu.Lock()
			_, failed := io.WriteString(w.to, text)
			w.mu.Unlock()
			if failed != nil {
				return failed
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}
