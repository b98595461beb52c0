package addon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/kube/applyset"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Cluster is a cluster that serves its API.
type Cluster struct {
	*applyset.Client
	config *rest.Config
}

// Connect returns the cluster of a kubeconfig. It sends no request.
func Connect(kubeconfig []byte) (Cluster, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return Cluster{}, err
	}
	config.UserAgent = "skiff-addons"
	client, err := applyset.New(config)
	return Cluster{client, config}, err
}

// Target returns the cluster as charts are rendered for it.
func (c Cluster) Target() (Target, error) { return Running(c.config, c.Discovery()) }

// Apply makes the addons in a cluster match those given: it applies each in turn and waits
// until it is ready, then deletes what has left them. It reports events only if it changes
// something or has to wait.
func Apply(ctx context.Context, c Cluster, addons []Addon, event func(daemonapi.Event)) error {
	p := &progress{event: event}
	err := apply(ctx, c, addons, p)
	p.end(err)
	return err
}

func apply(ctx context.Context, c Cluster, addons []Addon, p *progress) error {
	known, err := c.List(ctx)
	if err != nil {
		return explain(ctx, err)
	}
	var sets []applyset.Set
	for _, a := range addons {
		set, err := c.set(a)
		if err != nil {
			return explain(ctx, err)
		}
		sets = append(sets, set)
		if err := p.step(a.Name, func(notify func(string)) (applyset.Changes, error) { return c.Client.Apply(ctx, set, known, notify) }); err != nil {
			return explain(ctx, err)
		}
	}
	// An object may have moved from one addon to another, so none is deleted before.
	for _, set := range sets {
		if err := p.step(set.Name, func(notify func(string)) (applyset.Changes, error) { return c.Prune(ctx, set, known, notify) }); err != nil {
			return explain(ctx, err)
		}
	}
	for _, name := range removed(known, addons) {
		if err := p.step(name, func(notify func(string)) (applyset.Changes, error) { return c.Remove(ctx, name, known, notify) }); err != nil {
			return explain(ctx, err)
		}
	}
	return nil
}

// set returns the objects of an addon. The APIs that the cluster serves are read again for
// each chart, because the addons before it may have added some.
func (c Cluster) set(a Addon) (applyset.Set, error) {
	if a.Kind != KindChart {
		return a.Set(Target{})
	}
	target, err := c.Target()
	if err != nil {
		return applyset.Set{}, err
	}
	return a.Set(target)
}

// removed returns the names of addons in the cluster that are not among those given.
func removed(known map[string]applyset.Recorded, addons []Addon) []string {
	names := slices.Sorted(maps.Keys(known))
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(addons, func(a Addon) bool { return a.Name == name })
	})
}

// explain returns an error with what the user can do about it.
func explain(ctx context.Context, err error) error {
	var waited *applyset.WaitError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case errors.As(err, &waited):
		return &daemonapi.Failure{
			Cause: "addons are not ready in time: " + waited.Error(),
			Hint:  "\"skiff addon list\" and \"kubectl describe\" show why; run `skiff up` again, with a longer --wait if it only needs time",
		}
	case ctx.Err() != nil:
		return &daemonapi.Failure{Cause: "addons were not applied in time: " + oneLine(err), Hint: "run `skiff up` again, with a longer --wait"}
	}
	return &daemonapi.Failure{Cause: oneLine(err), Hint: "the cluster is ready; correct the addon and run `skiff up` again to continue"}
}

// Plan returns the steps by which Apply would change a cluster. known are the addons in a
// cluster that runs, or nil; before are those that were configured last.
func Plan(addons []Addon, target Target, known map[string]applyset.Recorded, before []cluster.Addon) ([]cluster.Step, error) {
	var steps []cluster.Step
	add := func(action cluster.Action, name, reason string) {
		steps = append(steps, cluster.Step{Action: action, Addon: name, Reason: reason})
	}
	for _, a := range addons {
		configured := slices.ContainsFunc(before, func(b cluster.Addon) bool { return b.Name == a.Name })
		record, applied := known[a.Name]
		switch {
		case known == nil && !configured, known != nil && !applied:
			add(cluster.ActionApply, a.Name, "new")
			continue
		case known == nil:
			add(cluster.ActionApply, a.Name, "the cluster is not running: whether it has changed is not known")
			continue
		case record.Digest == "":
			add(cluster.ActionApply, a.Name, "incomplete")
			continue
		}
		set, err := a.Set(target)
		if err != nil {
			return nil, err
		}
		if record.Digest != set.Digest() {
			add(cluster.ActionApply, a.Name, "changed")
		}
	}
	gone := removed(known, addons)
	if known == nil {
		for _, b := range before {
			if !slices.ContainsFunc(addons, func(a Addon) bool { return a.Name == b.Name }) {
				gone = append(gone, b.Name)
			}
		}
	}
	for _, name := range gone {
		add(cluster.ActionDelete, name, "not configured any more")
	}
	return steps, nil
}

// progress reports the events of addons, all in one phase.
type progress struct {
	event func(daemonapi.Event)
	begun time.Time
	done  []string
}

// step runs one step of an addon and counts its changes.
func (p *progress) step(name string, do func(notify func(string)) (applyset.Changes, error)) error {
	changes, err := do(func(message string) { p.running(name + ": " + message) })
	if text := counted(changes); text != "" {
		p.done = append(p.done, name+" "+text)
	}
	if err != nil {
		return fmt.Errorf("addon %s: %w", name, err)
	}
	return nil
}

func (p *progress) running(message string) {
	if p.begun.IsZero() {
		p.begun = time.Now()
	}
	p.event(daemonapi.Event{Time: time.Now(), Phase: daemonapi.PhaseAddons, State: daemonapi.StateRunning, Message: message})
}

// end reports the last event.
func (p *progress) end(err error) {
	if p.begun.IsZero() && err == nil {
		return
	}
	now := time.Now()
	e := daemonapi.Event{Time: now, Phase: daemonapi.PhaseAddons, State: daemonapi.StateDone, Message: strings.Join(p.done, "; ")}
	if !p.begun.IsZero() {
		e.Seconds = now.Sub(p.begun).Seconds()
	}
	if err != nil {
		e.State, e.Message = daemonapi.StateFailed, ""
		var failure *daemonapi.Failure
		if !errors.As(err, &failure) {
			failure = &daemonapi.Failure{Cause: oneLine(err)}
		}
		e.Failure = failure
	}
	p.event(e)
}

// counted returns the changes for users: "2 created, 1 deleted"; empty if there are none.
func counted(c applyset.Changes) string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{c.Created, "created"}, {c.Changed, "changed"}, {c.Deleted, "deleted"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}
