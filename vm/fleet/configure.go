package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// The programs of a node that read the settings of Kubernetes' components.
const (
	programControlPlane = "controlplane"
	programAgent        = "nodeagent"
)

const (
	// crashes is how often a program may end by itself before its settings count as
	// broken.
	crashes = 3
	// maxLog bounds how much of a log is read, in bytes.
	maxLog = 1 << 20
	// maxMessage bounds what an error quotes from a node, in bytes.
	maxMessage = 600
)

// configure puts the wanted settings of Kubernetes' components in force on all running
// nodes. If a component does not start with them, it restores the previous ones. After an
// interruption, nodes may have different settings: the state's Trial is set then.
func (e *executor) configure(ctx context.Context) error {
	state := e.state.current()
	before, wanted := state.InForce(), state.WantedSettings()
	c := configuration{executor: e, before: before, wanted: wanted, all: state.Trial != nil}
	if err := c.check(ctx); err != nil {
		if fault := (refused{}); errors.As(err, &fault) {
			var trial *cluster.Settings
			if now := state.NodeSettings(); state.Trial != nil {
				trial = &now
			}
			return errors.Join(c.change(before, before, trial), final{fault.failure(", and nothing was changed", "")})
		}
		return err
	}
	answers := e.api.kube.Ready(ctx) == nil
	if err := c.change(before, wanted, &wanted); err != nil {
		return err
	}
	err := c.apply(ctx, answers)
	if err == nil {
		return c.change(wanted, wanted, nil)
	}
	if ctx.Err() != nil {
		return err
	}
	if err := c.change(before, before, &before); err != nil {
		return err
	}
	e.op.Begin("", daemonapi.PhaseConfigure, "restoring the previous settings")
	if again := c.apply(ctx, answers); again != nil {
		return final{&daemonapi.Failure{
			Cause: fmt.Sprintf("Kubernetes does not work with the settings: %v; the previous ones were not restored on all nodes: %v", err, again),
			Hint:  "run \"skiff up\" to repair the cluster",
		}}
	}
	return errors.Join(c.change(before, before, nil), final{&daemonapi.Failure{Cause: fmt.Sprintf("Kubernetes does not work with the settings, and the previous ones were restored: %v", err)}})
}

// configuration is one change of the settings.
type configuration struct {
	*executor
	before, wanted cluster.Settings
	// all is set if any program may have other settings, after an interruption.
	all bool
}

// change records which settings are in force, which are wanted, and which running nodes
// get for now, if any.
func (c configuration) change(inForce, wanted cluster.Settings, trial *cluster.Settings) error {
	return c.state.change(func(state *cluster.State) { state.SetSettings(inForce, wanted, trial) })
}

// check checks settings on one node of each group.
func (c configuration) check(ctx context.Context) error {
	seen := map[string]bool{}
	for _, n := range c.state.desired() {
		if seen[n.Group] || !c.machines.running(ctx, n.Name) {
			continue
		}
		seen[n.Group] = true
		if err := c.checkOn(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// checkFirst checks the settings on a node that has never worked with them, so that
// an error ends the wait for components that cannot start. A plan that replaces the
// settings checks the new ones itself.
func (e *executor) checkFirst(ctx context.Context, n cluster.Node) error {
	state := e.state.current()
	first := !state.Formed || e.has(cluster.ActionCreate, n.Name)
	if !first || state.InForce().Of(n).IsZero() || e.has(cluster.ActionConfigure, "") {
		return nil
	}
	err := configuration{executor: e, wanted: state.InForce(), all: true}.checkOn(ctx, n)
	if fault := (refused{}); errors.As(err, &fault) {
		return final{fault.failure("", "correct them and run \"skiff up\" again")}
	}
	return err
}

// refused is the error of settings that a program of a node does not accept.
type refused struct{ node, reason string }

func (r refused) Error() string { return r.node + ": " + r.reason }

// failure returns what users see. outcome is what happened to the cluster.
func (r refused) failure(outcome, hint string) *daemonapi.Failure {
	return &daemonapi.Failure{Cause: "Kubernetes does not accept the settings" + outcome + ": " + r.Error(), Hint: hint, Invalid: true}
}

// checkOn lets the programs of a node check settings without using them.
func (c configuration) checkOn(ctx context.Context, n cluster.Node) error {
	content, err := json.Marshal(c.wanted.Of(n))
	if err != nil {
		return err
	}
	for _, program := range c.programs(n) {
		message, err := c.nodes.client(n).Check(ctx, "/usr/bin/skiff-"+program, content)
		if err != nil {
			return err
		}
		if message != "" {
			return refused{n.Name, errorIn(message, program)}
		}
	}
	return nil
}

// programs returns the programs of a node that the change concerns.
func (c configuration) programs(n cluster.Node) []string {
	was, is := c.before.Of(n), c.wanted.Of(n)
	var all []string
	if n.Role == nodeconfig.RoleControlPlane && (c.all || !was.SameControlPlane(is)) {
		all = append(all, programControlPlane)
	}
	if c.all || !was.SameAgent(is) {
		all = append(all, programAgent)
	}
	return all
}

// apply gives all nodes the settings in force, and starts their programs again: control
// planes one after another, then the agents of all nodes at once. It waits for them if
// wait is set.
func (c configuration) apply(ctx context.Context, wait bool) error {
	var running []cluster.Node
	for _, n := range c.state.members() {
		if c.machines.running(ctx, n.Name) {
			running = append(running, n)
		}
	}
	for _, n := range running {
		if err := c.renewals.handOut(ctx, n, time.Now(), func(path string) bool { return path == nodeconfig.ComponentsFile }); err != nil {
			return err
		}
	}
	for _, n := range running {
		if !slices.Contains(c.programs(n), programControlPlane) {
			continue
		}
		c.op.Begin("", daemonapi.PhaseConfigure, "restarting the control plane on "+n.Name)
		if err := c.restartProgram(ctx, n, programControlPlane, wait); err != nil {
			return err
		}
		if wait {
			if err := c.access(ctx, n); err != nil {
				return err
			}
		}
	}
	running = slices.DeleteFunc(running, func(n cluster.Node) bool { return !slices.Contains(c.programs(n), programAgent) })
	if len(running) == 0 {
		return nil
	}
	c.op.Begin("", daemonapi.PhaseConfigure, "restarting the kubelets")
	all, ctx := errgroup.WithContext(ctx)
	for _, n := range running {
		all.Go(func() error { return c.restartProgram(ctx, n, programAgent, wait) })
	}
	return all.Wait()
}

// restartProgram ends a program of a node, which its supervisor starts again. If wait
// is set, it returns once the program has been ready for a while.
func (c configuration) restartProgram(ctx context.Context, n cluster.Node, name string, wait bool) error {
	node := c.nodes.client(n)
	reported := c.heartbeat(ctx, n)
	status, err := node.Status(ctx)
	if err != nil {
		return err
	}
	before := find(status, name)
	if before.PID != 0 {
		if _, err := node.Run(ctx, "sh", "-c", "kill -TERM "+strconv.Itoa(before.PID)); err != nil {
			return err
		}
	}
	if !wait {
		return nil
	}
	var ready time.Time
	return retry(ctx, c.limits.ControlPlane, func(ctx context.Context) (bool, error) {
		status, err := node.Status(ctx)
		if err != nil {
			return false, err
		}
		now := find(status, name)
		switch {
		case now.Restarts >= before.Restarts+crashes:
			return true, fmt.Errorf("%s: %s", n.Name, c.lastError(ctx, n, name))
		case now.PID == 0 || now.PID == before.PID:
			return false, errors.New("the program has not started again")
		}
		if err := c.works(ctx, n, name, reported); err != nil {
			ready = time.Time{}
			return false, err
		}
		if ready.IsZero() {
			ready = time.Now()
		}
		if time.Since(ready) < c.limits.Settled {
			return false, errors.New("the program has just started")
		}
		return true, nil
	})
}

// access returns an error if the authorizers that a user has configured deny the
// cluster's own components what they need.
func (c configuration) access(ctx context.Context, n cluster.Node) error {
	if len(c.state.current().NodeSettings().Components.APIServer.AuthorizationConfig) == 0 {
		return nil
	}
	client, transport, err := c.api.single(n)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	return client.CheckAccess(ctx, n.Name)
}

// works returns nil if a program is ready. An agent is ready if its kubelet has reported
// the node as Ready after the report at the given time, or at all in a cluster without a
// pod network.
func (c configuration) works(ctx context.Context, n cluster.Node, program string, reported time.Time) error {
	if program == programControlPlane {
		probe := c.api.probe()
		defer probe.CloseIdleConnections()
		return fetch(ctx, probe, n, "/readyz")
	}
	if c.heartbeat(ctx, n).Equal(reported) {
		return errors.New("the kubelet has not reported")
	}
	if c.state.spec().Network.Without().PodNetwork {
		return nil
	}
	return c.ready(ctx, n.Name)
}

// heartbeat returns when the kubelet last reported; zero if that is unknown.
func (c configuration) heartbeat(ctx context.Context, n cluster.Node) time.Time {
	nodes, err := c.api.kube.Nodes(ctx)
	if err != nil {
		return time.Time{}
	}
	return nodes[n.Name].Heartbeat
}

// lastError returns the last error that a program logged.
func (c configuration) lastError(ctx context.Context, n cluster.Node, program string) string {
	const lines, unknown = 200, "the program keeps crashing"
	log, err := c.nodes.client(n).Logs(ctx, program, lines, false)
	if err != nil {
		return unknown
	}
	defer log.Close()
	content, err := io.ReadAll(io.LimitReader(log, maxLog))
	if err != nil {
		return unknown
	}
	return cmp.Or(errorIn(string(content), program), unknown)
}

func find(status nodeapi.Status, program string) nodeapi.Program {
	for _, p := range status.Programs {
		if p.Name == program {
			return p
		}
	}
	return nodeapi.Program{Name: program}
}

// errorIn returns the last error in the output of one of Skiff's programs, as one line
// of printable text: nothing from a node is trusted.
func errorIn(output, program string) string {
	prefix := "skiff-" + program + ": "
	if at := strings.LastIndex("\n"+output, "\n"+prefix); at >= 0 {
		output = output[at+len(prefix):]
	}
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || unicode.IsSpace(r) {
			return r
		}
		return -1
	}, output)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}
