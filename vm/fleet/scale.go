package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/autoscale"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
)

// scaler remembers what the autoscaler did and saw.
type scaler struct {
	journal *journal[daemonapi.Scaling]

	mu    sync.Mutex // guards note
	note  string     // for users
	unfit []controlapi.PodReference
}

func newScaler(path string) *scaler {
	return &scaler{journal: openJournal(path, func(s daemonapi.Scaling) time.Time { return s.Began }, func(s *daemonapi.Scaling) {
		if s.Ended.IsZero() {
			s.Ended, s.Failure = s.Began, interrupted
		}
	})}
}

// observed remembers an answer, or why there was none.
func (s *scaler) observed(room controlapi.Room, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unfit = room.Unfit
	s.note = ""
	if errors.Is(err, errors.ErrUnsupported) {
		s.note = "Groups are not scaled, because the node image is too old for it: run \"skiff upgrade\"."
	}
}

// notes returns what users should know, one line each.
func (s *scaler) notes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	if s.note != "" {
		all = append(all, s.note)
	}
	if len(s.unfit) > 0 {
		first := s.unfit[0]
		line := fmt.Sprintf("The autoscaler adds no node for pod %s/%s: %s", first.Namespace, first.Name, first.Reason)
		if more := len(s.unfit) - 1; more > 0 {
			line += fmt.Sprintf(" (and for %d more)", more)
		}
		all = append(all, line+".")
	}
	return all
}

// ScaleIdle returns how long a node must not have been needed until it is removed; 0 if no
// group is scaled.
func (f *Fleet) ScaleIdle() time.Duration {
	spec := f.state.spec()
	if len(cluster.ScaledGroups(spec)) == 0 {
		return 0
	}
	if f.limits.Scale > 0 {
		return f.limits.Scale
	}
	return spec.Autoscaling.After()
}

// Scale carries out a change of the autoscaler, which is recorded in the status and by
// events. If it is canceled, a later Scale or Apply finishes it.
func (f *Fleet) Scale(ctx context.Context, op *operation.Operation, action autoscale.Action) error {
	if err := f.awake(ctx); err != nil {
		return err
	}
	record := daemonapi.Scaling{Group: action.Group, Action: string(action.Kind), Nodes: action.Nodes, Reason: action.Reason, Began: time.Now().UTC()}
	do := map[autoscale.Kind]func(context.Context, *operation.Operation, autoscale.Action, *daemonapi.Scaling) error{
		autoscale.Add: f.addNodes, autoscale.Remove: f.removeNodes, autoscale.Finish: f.finishScaling,
	}[action.Kind]
	err := do(ctx, op, action, &record)
	record.Ended = time.Now().UTC()
	if err != nil {
		record.Failure = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return errors.Join(err, f.scaler.journal.put(record))
}

// addNodes adds nodes to a group. If one of them does not become Ready, it removes all.
func (f *Fleet) addNodes(ctx context.Context, op *operation.Operation, action autoscale.Action, record *daemonapi.Scaling) error {
	group := cluster.GroupOf(f.state.spec(), action.Group+"-1")
	grown, added, err := f.state.current().Grow(action.Group, action.Count)
	if err != nil {
		return err
	}
	if err := f.setState(grown); err != nil {
		return err
	}
	record.Nodes = added
	if err := f.scaler.journal.put(*record); err != nil {
		return err
	}
	f.log.Info("adding nodes", "group", action.Group, "nodes", added, "reason", action.Reason)
	message := fmt.Sprintf("pod triggered scale-up: [{%s %d->%d (max: %d)}]", action.Group, group.Count, group.Count+action.Count, group.Span.Max)
	for _, pod := range action.Pods {
		f.reportPod(ctx, pod, "TriggeredScaleUp", message)
	}
	return f.bringIn(ctx, op, added)
}

// bringIn makes new nodes Ready. If that fails for another reason than the end of ctx, it
// removes them.
func (f *Fleet) bringIn(ctx context.Context, op *operation.Operation, added []string) error {
	err := f.settle(ctx, op, added)
	if err == nil {
		return f.state.change(func(s *cluster.State) {
			for i := range s.Machines {
				s.Machines[i].New = s.Machines[i].New && !slices.Contains(added, s.Machines[i].Name)
			}
		})
	}
	if ctx.Err() != nil {
		return err
	}
	return errors.Join(err, f.takeOut(ctx, op, added))
}

// settle brings the named nodes to their desired state.
func (f *Fleet) settle(ctx context.Context, op *operation.Operation, names []string) error {
	observed, err := f.Observe(ctx)
	if err != nil {
		return err
	}
	return f.execute(ctx, op, cluster.ScalePlan(f.state.spec(), observed, names), daemonapi.Draining{})
}

// setState makes a changed state that of the cluster.
func (f *Fleet) setState(changed cluster.State) error {
	if err := f.state.change(func(s *cluster.State) { *s = changed }); err != nil {
		return err
	}
	return f.specChanged()
}

// takeOut removes nodes from the desired ones, and deletes their machines.
func (f *Fleet) takeOut(ctx context.Context, op *operation.Operation, names []string) error {
	smaller, err := f.state.current().Remove(names)
	if err != nil {
		return err
	}
	if err := f.setState(smaller); err != nil {
		return err
	}
	return f.deleteNodes(ctx, op, names)
}

// deleteNodes deletes the machines of nodes that are no longer desired.
func (f *Fleet) deleteNodes(ctx context.Context, op *operation.Operation, names []string) error {
	if err := f.settle(ctx, op, names); err != nil {
		return err
	}
	return f.state.change(func(s *cluster.State) {
		s.Machines = slices.DeleteFunc(s.Machines, func(m cluster.Machine) bool { return slices.Contains(names, m.Name) })
	})
}

// removeNodes drains nodes and removes them. Nodes that turn out to be needed, or whose pods
// do not leave in time, stay.
func (f *Fleet) removeNodes(ctx context.Context, op *operation.Operation, action autoscale.Action, record *daemonapi.Scaling) error {
	if err := f.scaler.journal.put(*record); err != nil {
		return err
	}
	err := f.emptyNodes(ctx, op, action)
	if err == nil {
		f.log.Info("removing nodes", "group", action.Group, "nodes", action.Nodes, "reason", action.Reason)
		return f.takeOut(ctx, op, action.Nodes)
	}
	if ctx.Err() != nil {
		return err
	}
	return errors.Join(err, f.settle(ctx, op, action.Nodes)) // uncordons them
}

// emptyNodes keeps new pods off nodes, makes sure that they are still not needed, and evicts
// their pods.
func (f *Fleet) emptyNodes(ctx context.Context, op *operation.Operation, action autoscale.Action) error {
	for _, name := range action.Nodes {
		if err := f.state.changeMachine(name, func(m *cluster.Machine) { m.Cordoned = true }); err != nil {
			return err
		}
		if err := f.api.kube.Cordon(ctx, name, true); err != nil {
			return err
		}
		f.report(ctx, name, corev1.EventTypeNormal, "ScaleDown", "Skiff removes the node: "+action.Reason)
	}
	registered, err := f.api.kube.Nodes(ctx)
	if err != nil {
		return err
	}
	request, err := f.roomRequest(ctx, f.state.current(), registered)
	if err != nil {
		return err
	}
	request.Candidates = action.Nodes
	room, err := f.askRoom(ctx, request)
	if err != nil {
		return err
	}
	if len(room.Spare) == 0 {
		return errors.New("pods need nodes now")
	}
	for _, s := range room.Spare {
		if s.Needed != "" {
			return fmt.Errorf("%s is needed now: %s", s.Node, s.Needed)
		}
	}
	var steps []cluster.Step
	for _, name := range action.Nodes {
		steps = append(steps, cluster.Step{Action: cluster.ActionDrain, Node: name, Reason: action.Reason})
	}
	return f.execute(ctx, op, steps, daemonapi.Draining{})
}

// finishScaling ends what was interrupted: nodes that were being added become Ready, those
// that were being removed are deleted, and those that were only drained take pods again.
func (f *Fleet) finishScaling(ctx context.Context, op *operation.Operation, _ autoscale.Action, record *daemonapi.Scaling) error {
	added, removed, drained := f.state.current().Unfinished()
	record.Nodes = slices.Concat(added, removed, drained)
	if len(record.Nodes) > 0 {
		record.Group, _, _ = nodeconfig.SplitName(record.Nodes[0])
	}
	if err := f.scaler.journal.put(*record); err != nil {
		return err
	}
	return errors.Join(f.deleteNodes(ctx, op, removed), f.settle(ctx, op, drained), f.bringIn(ctx, op, added))
}

// reportPod creates an event of a pod, if the API answers.
func (f *Fleet) reportPod(ctx context.Context, pod controlapi.PodReference, reason, message string) {
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	if err := f.api.kube.ReportPod(ctx, pod.Namespace, pod.Name, pod.UID, corev1.EventTypeNormal, reason, message); err != nil {
		f.log.Warn("no event of a pod", "pod", pod.Namespace+"/"+pod.Name, "error", err)
	}
}

// scaledGroups returns the groups that are scaled.
func scaledGroups(spec cluster.Spec) []daemonapi.ScaledGroup {
	var all []daemonapi.ScaledGroup
	for _, g := range cluster.ScaledGroups(spec) {
		all = append(all, daemonapi.ScaledGroup{Group: g.Name, Nodes: g.Count, Min: g.Span.Min, Max: g.Span.Max})
	}
	return all
}
