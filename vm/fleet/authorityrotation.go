package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/operation"
)

const (
	// rotationPeriod is how often the end of a rotation is looked for.
	rotationPeriod = time.Minute
	// distributePeriod is how soon a node is given files again.
	distributePeriod = 2 * time.Second
	// waitPeriod is how often nodes are looked at while programs notice other files: one may
	// have restarted.
	waitPeriod = 20 * time.Second
	// distributeLimit bounds how long nodes take to have the files of a phase.
	distributeLimit = 3 * time.Minute
	// renewTokensLimit bounds how long kubelets that were started again take to renew the
	// tokens in pods.
	renewTokensLimit = 5 * time.Minute
)

const authoritiesHint = "run \"skiff pki rotate\" again to continue from here"

// RotateAuthorities replaces the cluster's authorities and the key of service accounts, or
// continues with that, and returns a message for users. Nothing else may change the
// cluster meanwhile. Nodes that start or restart get the files of the phase.
func (f *Fleet) RotateAuthorities(ctx context.Context, op *operation.Operation, request daemonapi.RotateAuthorities) (string, error) {
	if err := f.undisturbed(ctx); err != nil {
		return "", err
	}
	r := &authorityRotation{core: f.core, renewals: f.renewals, op: op, request: request}
	f.rotating.Lock()
	defer f.rotating.Unlock()
	err := r.begin(time.Now())
	message := ""
	if err == nil {
		message, err = r.run(ctx)
	}
	if err == nil {
		return message, nil
	}
	failure := operation.AsFailure(err, f.dir.Log())
	if failure.Hint == "" {
		failure.Hint = authoritiesHint
	}
	if r.shown != "" {
		op.End("", r.shown, failure)
	}
	return "", failure
}

// endRotations forgets old keys of service accounts once no pod has a token of them, until
// ctx ends.
func (f *Fleet) endRotations(ctx context.Context) error {
	for pause.For(ctx, rotationPeriod) == nil {
		r, err := f.credentials.Current().Rotation()
		if err != nil || r == nil || r.Phase != pki.PhaseDistrust && r.Phase != pki.PhaseForget || f.undisturbed(ctx) != nil || !f.rotating.TryLock() {
			continue
		}
		_, err = (&authorityRotation{core: f.core, renewals: f.renewals}).run(ctx)
		f.rotating.Unlock()
		if err != nil && ctx.Err() == nil {
			f.log.Warn("old tokens of service accounts are still accepted, trying again later", "error", err)
		}
	}
	return nil
}

// RotatingAuthorities reports whether a rotation was begun that only a user continues.
func (f *Fleet) RotatingAuthorities() bool {
	r, err := f.credentials.Current().Rotation()
	return err == nil && r != nil && (r.Phase == pki.PhaseTrust || r.Phase == pki.PhaseIssue)
}

// authorityRotation replaces authorities.
type authorityRotation struct {
	core
	renewals *renewals
	op       *operation.Operation // nil if nobody looks
	request  daemonapi.RotateAuthorities

	shown   daemonapi.Phase
	message string // that of shown
}

// begin makes new authorities unless a rotation is in progress.
func (r *authorityRotation) begin(now time.Time) error {
	if r.state.current().Upgrade != nil {
		return &daemonapi.Failure{Cause: "an upgrade is not finished", Hint: "continue it with \"skiff upgrade\" first"}
	}
	current := r.credentials.Current()
	progress, err := current.Rotation()
	if err != nil {
		return err
	}
	names := r.request.Only
	if progress != nil {
		if len(names) > 0 && !slices.Equal(names, progress.Names()) {
			return operation.Invalid(errors.New("the replacement of "+strings.Join(progress.Names(), ", ")+" is not finished"), "continue it with \"skiff pki rotate\" first")
		}
		if r.request.Revoke && !progress.Revoke {
			progress.Revoke = true
			return r.credentials.SetRotation(progress, now)
		}
		return nil
	}
	if len(names) == 0 {
		names = pki.RotationNames()
	}
	if slices.Contains(names, "ca") && r.state.spec().KubernetesVersion == cluster.WithoutReload {
		return operation.Invalid(fmt.Errorf("a cluster of Kubernetes %s cannot replace its authority while it runs", cluster.WithoutReload), "use --only for the others")
	}
	begun, err := current.BeginRotation(names, now)
	if err != nil {
		return err
	}
	begun.Revoke = r.request.Revoke
	return r.credentials.SetRotation(&begun, now)
}

// run continues from the cluster's state until the old authorities are not trusted any more,
// and returns what was done.
func (r *authorityRotation) run(ctx context.Context) (string, error) {
	for {
		progress, err := r.credentials.Current().Rotation()
		if err != nil {
			return "", err
		}
		if progress == nil {
			r.show("", "")
			return "only what the new keys have signed is accepted", nil
		}
		seen, err := r.look(ctx, *progress)
		if err != nil {
			return "", err
		}
		move := progress.Next(seen)
		if move != pki.RotateWait {
			r.log.Info("replacing authorities", "move", move, "phase", progress.Phase)
		}
		r.show(daemonapi.Phase(progress.Phase), r.describe(*progress, move))
		if move == pki.RotateAwait {
			return r.await(ctx, *progress)
		}
		if move == pki.RotateIssue && r.request.Prepare {
			r.show("", "")
			return "everything trusts the new authorities beside the old ones: run \"skiff pki rotate\" to continue", nil
		}
		if err := r.carryOut(ctx, *progress, move); err != nil {
			return "", err
		}
	}
}

// await returns what is known while pods have old tokens.
func (r *authorityRotation) await(ctx context.Context, progress pki.Rotation) (string, error) {
	if err := r.cleanUp(ctx, progress); err != nil {
		return "", err
	}
	r.show("", "")
	end := "until the pods that have them renew them"
	if at := progress.TokensEnd(); time.Now().Before(at) {
		end = "until " + at.Local().Format("15:04")
	}
	return "old certificates are not accepted any more, old tokens of service accounts are " + end, nil
}

func (r *authorityRotation) carryOut(ctx context.Context, progress pki.Rotation, move pki.RotationMove) error {
	advance := func(phase pki.RotationPhase) error {
		next := progress.Advance(phase)
		if err := r.credentials.SetRotation(&next, time.Now()); err != nil {
			return err
		}
		r.api.reconnect()
		r.nodes.pool.CloseIdleConnections()
		return nil
	}
	switch move {
	case pki.RotateHandOut:
		return r.handOut(ctx)
	case pki.RotateRestart:
		return r.restartMembers(ctx)
	case pki.RotateMark:
		marked := progress.Mark(time.Now())
		return r.credentials.SetRotation(&marked, time.Now())
	case pki.RotateWait:
		return pause.For(ctx, min(cmp.Or(r.limits.Noticed, waitPeriod), time.Until(progress.Settled())))
	case pki.RotateIssue:
		if err := r.replaceBundles(ctx, progress, false); err != nil {
			return err
		}
		return advance(pki.PhaseIssue)
	case pki.RotateDistrust:
		if err := r.renewTokens(ctx, progress); err != nil {
			return err
		}
		return advance(pki.PhaseDistrust)
	case pki.RotateRevoke:
		return r.revoke(ctx, progress)
	case pki.RotateForget:
		if err := r.cleanUp(ctx, progress); err != nil {
			return err
		}
		return advance(pki.PhaseForget)
	default:
		return r.credentials.SetRotation(nil, time.Now())
	}
}

// describe returns what a move does, for users.
func (r *authorityRotation) describe(progress pki.Rotation, move pki.RotationMove) string {
	switch move {
	case pki.RotateHandOut:
		return "giving files to all nodes"
	case pki.RotateRestart:
		return "restarting control planes one after another for etcd"
	case pki.RotateWait:
		return "waiting until all programs have noticed, at " + progress.Settled().Local().Format("15:04:05")
	case pki.RotateRevoke:
		return "restarting kubelets one after another to renew the tokens in pods"
	}
	return ""
}

// show records that a phase begins, and that the one before ended.
func (r *authorityRotation) show(phase daemonapi.Phase, message string) {
	if r.op == nil {
		return
	}
	if r.shown != "" && phase != r.shown {
		r.op.End("", r.shown, nil)
	}
	if phase != "" && (phase != r.shown || message != "" && message != r.message) {
		r.op.Begin("", phase, message)
	}
	r.shown, r.message = phase, message
}

// planes returns all control planes that may serve the API.
func (r *authorityRotation) planes() []cluster.Node {
	return append(r.state.controlPlanes(), r.state.leaving()...)
}

// running returns the nodes that have files. All control planes must be among them, because
// one that does not answer may be a member of etcd.
func (r *authorityRotation) running(ctx context.Context) ([]cluster.Node, error) {
	for _, n := range r.planes() {
		if !r.machines.running(ctx, n.Name) {
			return nil, &daemonapi.Failure{Cause: n.Name + " is not running", Hint: "run \"skiff up\" first"}
		}
	}
	var all []cluster.Node
	for _, n := range r.state.members() {
		if r.machines.running(ctx, n.Name) {
			all = append(all, n)
		}
	}
	return all, nil
}

// look observes what the next move depends on.
func (r *authorityRotation) look(ctx context.Context, progress pki.Rotation) (pki.RotationSeen, error) {
	seen := pki.RotationSeen{Now: time.Now(), Distributed: true}
	if limit := r.limits.Noticed; limit != 0 && seen.Now.After(progress.Distributed.Add(limit)) && seen.Now.Before(progress.Settled()) {
		seen.Now = progress.Settled()
	}
	nodes, err := r.running(ctx)
	if err != nil {
		return seen, err
	}
	for _, n := range nodes {
		differ, err := r.outdated(ctx, n)
		if err != nil || len(differ) > 0 {
			seen.Distributed = false
			return seen, nil // handing out repeats until it succeeds
		}
	}
	stale, err := r.outdatedMembers(ctx, progress)
	if err != nil {
		return seen, err
	}
	seen.Outdated = len(stale) > 0
	if progress.Phase == pki.PhaseDistrust {
		for _, n := range nodes {
			count, err := r.oldTokens(ctx, n, progress)
			if err != nil {
				return seen, err
			}
			seen.OldTokens += count
		}
	}
	return seen, nil
}

// outdated returns the paths of the files of a node that are not those of the phase.
func (r *authorityRotation) outdated(ctx context.Context, n cluster.Node) ([]string, error) {
	files, err := r.credentials.Current().Node(r.state.spec(), n, time.Now())
	if err != nil {
		return nil, err
	}
	status, err := r.nodes.client(n).Status(ctx)
	if err != nil {
		return nil, err
	}
	return outdatedFiles(files, status), nil
}

// handOut gives all running nodes the files of the phase and waits until they have them.
func (r *authorityRotation) handOut(ctx context.Context) error {
	nodes, err := r.running(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, distributeLimit, errors.New("some nodes do not answer"))
	defer cancel()
	failed := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			for {
				if failed[i] = r.handOutTo(ctx, n); failed[i] == nil || pause.For(ctx, distributePeriod) != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// handOutTo gives a node the files that differ, and returns an error unless it then has all.
func (r *authorityRotation) handOutTo(ctx context.Context, n cluster.Node) error {
	differ, err := r.outdated(ctx, n)
	if err == nil && len(differ) > 0 {
		err = r.renewals.handOut(ctx, n, time.Now(), func(path string) bool { return slices.Contains(differ, path) })
		if err == nil {
			differ, err = r.outdated(ctx, n)
		}
	}
	if err == nil && len(differ) > 0 {
		err = fmt.Errorf("it does not have %s", differ[0])
	}
	if err != nil {
		return fmt.Errorf("replace files of %s: %w", n.Name, err)
	}
	return nil
}

// replaceBundles lets webhooks and aggregated APIs that are verified by the cluster's
// authority be verified by the new one, too or only.
func (r *authorityRotation) replaceBundles(ctx context.Context, progress pki.Rotation, only bool) error {
	p, ok := progress.Replacements["ca"]
	if !ok {
		return nil
	}
	return r.api.kube.ReplaceBundles(ctx, func(bundle []byte) []byte { return pki.ReplaceIn(bundle, p.Old, p.New, only) })
}

// cleanUp removes old authorities from objects.
func (r *authorityRotation) cleanUp(ctx context.Context, progress pki.Rotation) error {
	if err := r.replaceBundles(ctx, progress, true); err != nil {
		return err
	}
	_, cluster := progress.Replacements["ca"]
	if _, proxy := progress.Replacements["front-proxy-ca"]; !cluster && !proxy {
		return nil
	}
	clients, proxies, err := r.credentials.Current().Clients()
	if err != nil {
		return err
	}
	return r.api.kube.SetClientAuthorities(ctx, clients, proxies)
}
