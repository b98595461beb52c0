package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
	"github.com/skiff-dev/skiff/vm/repair"
)

const (
	// shutDownLimit is how long a node that answers may take to shut down before it is
	// repaired.
	shutDownLimit = 30 * time.Second
	// reportLimit bounds how long an event may take.
	reportLimit = 10 * time.Second
)

// openRepairs reads the repairs that were recorded.
func openRepairs(path string) *journal[daemonapi.Repair] {
	return openJournal(path, func(r daemonapi.Repair) time.Time { return r.Began }, func(r *daemonapi.Repair) {
		if r.Ended.IsZero() {
			r.Ended, r.Failure = r.Began, interrupted
		}
	})
}

// Repair carries out the repair of an unhealthy node, and waits until it is Ready. The
// repair is recorded in the status and by events of the node.
func (f *Fleet) Repair(ctx context.Context, op *operation.Operation, action repair.Action) error {
	n, ok := f.state.find(action.Node)
	if !ok {
		return operation.NoNode(action.Node)
	}
	// The user may have paused the cluster or begun a fault since this was decided.
	if err := f.awake(ctx); err != nil {
		return err
	}
	if err := f.faulty(n.Name); err != nil {
		return err
	}
	record := daemonapi.Repair{Node: n.Name, Action: string(action.Kind), Reason: action.Reason, Began: time.Now().UTC()}
	if err := f.repairs.put(record); err != nil {
		return err
	}
	f.log.Warn("repairing a node", "node", n.Name, "action", action.Kind, "reason", action.Reason)
	f.report(ctx, n.Name, corev1.EventTypeWarning, "SkiffRepair", fmt.Sprintf("Skiff will %s the machine: %s", action.Kind, action.Reason))
	err := f.repair(ctx, op, n, action)
	record.Ended = time.Now().UTC()
	if err != nil {
		record.Failure = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	// The result is worth recording even if the operation was canceled.
	after := context.WithoutCancel(ctx)
	if err == nil {
		f.report(after, n.Name, corev1.EventTypeNormal, "SkiffRepaired", fmt.Sprintf("The node is Ready %s after its repair began", record.Ended.Sub(record.Began).Round(time.Second)))
	} else {
		f.report(after, n.Name, corev1.EventTypeWarning, "SkiffRepairFailed", "The node is not Ready after its repair: "+record.Failure)
	}
	return errors.Join(err, f.repairs.put(record))
}

func (f *Fleet) repair(ctx context.Context, op *operation.Operation, n cluster.Node, action repair.Action) error {
	if action.Kind != repair.Start && f.machines.running(ctx, n.Name) {
		if _, err := f.nodes.client(n).Status(ctx); err == nil {
			f.shutDown(ctx, op, n, shutDownLimit)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if action.Kind == repair.Replace {
		steps := []cluster.Step{{Action: cluster.ActionReplace, Node: n.Name, Reason: action.Reason}}
		return f.execute(ctx, op, steps, daemonapi.Draining{})
	}
	if action.Kind == repair.Restart {
		if err := f.machines.driver.Stop(ctx, n.Name); err != nil {
			return err
		}
	}
	observed, err := f.Observe(ctx)
	if err != nil {
		return err
	}
	// Kubernetes may not have noticed yet that the machine was off.
	delete(observed.Ready, n.Name)
	return f.execute(ctx, op, cluster.NodePlan(f.state.spec(), observed, n.Name), daemonapi.Draining{})
}

// report creates an event of a node, if the API answers.
func (f *Fleet) report(ctx context.Context, node, kind, reason, message string) {
	ctx, cancel := context.WithTimeout(ctx, reportLimit)
	defer cancel()
	if err := f.api.kube.ReportNode(ctx, node, kind, reason, message); err != nil {
		f.log.Warn("no event of a node", "node", node, "error", err)
	}
}
