package client_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

var (
	oldSettings = nodeconfig.Components{
		FeatureGates: map[string]bool{"ClusterTrustBundle": true}, APIServer: nodeconfig.APIServer{Args: map[string]string{"event-ttl": "1h"}},
	}
	newSettings = nodeconfig.Components{
		FeatureGates: map[string]bool{"ContextualLogging": false}, APIServer: nodeconfig.APIServer{Args: map[string]string{"event-ttl": "2h"}},
	}
	crashing = nodeconfig.Components{FeatureGates: map[string]bool{gateCrash: true}}
)

// withPrograms returns a cluster with one control plane, one worker and settings.
func withPrograms(settings nodeconfig.Components) cluster.Spec {
	spec := small("demo")
	spec.Workers, spec.Kubernetes = 1, settings
	return spec
}

// TestAChangeOfSettingsCanBeKilledAtEveryStep kills the daemon before and after each of
// its requests to nodes. Running "up" again leads to a cluster whose programs all run
// with the same settings, also if the new ones do not work.
func TestAChangeOfSettingsCanBeKilledAtEveryStep(t *testing.T) {
	for name, test := range map[string]struct {
		wanted, inForce nodeconfig.Components
		steps           int
	}{
		"new settings":                  {newSettings, newSettings, 16},
		"settings that make them crash": {crashing, oldSettings, 22},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var interrupted atomic.Int32
			t.Run("at", func(t *testing.T) {
				for at := range test.steps + 1 { // the last one is not reached
					t.Run(strconv.Itoa(at+1), func(t *testing.T) {
						t.Parallel()
						if killAt(t, at+1, test.wanted, test.inForce) {
							interrupted.Add(1)
						}
					})
				}
			})
			if count := int(interrupted.Load()); count != test.steps {
				t.Errorf("%d steps were interrupted", count)
			}
		})
	}
}

// killAt kills a change of the settings at a step, and reports whether there was such a
// step.
func killAt(t *testing.T, at int, wanted, inForce nodeconfig.Components) bool {
	t.Helper()
	h, images, dir := shortHome(t), imageDir(t), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := client.New(client.Config{Home: h, Name: "demo", ImageDir: images, Command: []string{
		"env", envDaemon + "=" + strings.Join([]string{string(h), "demo", images}, ":"), envPrograms + "=" + dir + ":" + strconv.Itoa(at), self,
	}})
	t.Cleanup(func() {
		if err := c.Down(context.WithoutCancel(t.Context()), daemonapi.DownRequest{}, ignore); err != nil {
			t.Error(err)
		}
	})
	up(t, c, withPrograms(oldSettings))
	p := newPrograms(dir)
	if err := os.WriteFile(p.armed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = c.Apply(t.Context(), withPrograms(wanted), ignore)
	_, err = os.Stat(p.armed)
	killed := errors.Is(err, os.ErrNotExist)
	_ = os.Remove(p.armed)
	err = c.Apply(t.Context(), withPrograms(wanted), ignore)
	if works := wanted.Same(inForce); works != (err == nil) {
		t.Errorf("killed at step %d, up: %v", at, err)
	}
	assertWhole(t, c, h.Cluster("demo").State(), p, inForce)
	return killed
}

// assertWhole checks that nothing is left to do, and that all programs run with the given
// settings.
func assertWhole(t *testing.T, c *client.Client, stateFile string, p *programs, want nodeconfig.Components) {
	t.Helper()
	state, err := cluster.ReadState(stateFile)
	if err != nil {
		t.Fatal(err)
	}
	if !state.Components.Same(want) || !state.Spec.Kubernetes.Same(want) || state.Trial != nil {
		t.Errorf("the state has %+v, wants %+v, tries %+v", state.Components, state.Spec.Kubernetes, state.Trial)
	}
	if steps, err := c.Plan(t.Context(), withPrograms(want)); err != nil || len(steps) > 0 {
		t.Errorf("plan: %v, %v", steps, err)
	}
	all, err := p.settings()
	if err != nil || len(all) != 3 {
		t.Errorf("%d programs, %v", len(all), err)
	}
	for _, settings := range all {
		if worker := want.For(nodeconfig.RoleWorker); !settings.Same(want) && !settings.Same(worker) {
			t.Errorf("a program runs with %+v", settings)
		}
	}
}

// TestAnUnfinishedChangeOfSettingsIsFinished ends a change because a node does not do
// what it is asked. The next one is a whole change again.
func TestAnUnfinishedChangeOfSettingsIsFinished(t *testing.T) {
	h := shortHome(t)
	w := newEnvironment()
	w.programs = newPrograms(t.TempDir() + ":0")
	r := startRig(t, w, h, withPrograms(oldSettings), imageDir(t))
	up(t, r.client, r.spec)
	w.programs.broken.Store(true)
	err := r.client.Apply(t.Context(), withPrograms(newSettings), ignore)
	if err == nil || !strings.Contains(err.Error(), "the previous ones were not restored on all nodes") {
		t.Errorf("up while programs cannot be ended: %v", err)
	}
	w.programs.broken.Store(false)
	up(t, r.client, r.spec)
	assertWhole(t, r.client, h.Cluster("demo").State(), w.programs, oldSettings)
}

// TestRefusedSettingsAreTheUsersFault gives settings to a new cluster and to a running
// one that a component's own check refuses.
func TestRefusedSettingsAreTheUsersFault(t *testing.T) {
	refusedSettings := nodeconfig.Components{FeatureGates: map[string]bool{gateRefused: true}}
	for name, first := range map[string]nodeconfig.Components{"new": refusedSettings, "running": oldSettings} {
		t.Run(name, func(t *testing.T) {
			h, w := shortHome(t), newEnvironment()
			w.programs = newPrograms(t.TempDir() + ":0")
			r := startRig(t, w, h, withPrograms(first), imageDir(t))
			if name == "running" {
				up(t, r.client, r.spec)
			}
			err := r.client.Apply(t.Context(), withPrograms(refusedSettings), ignore)
			failure := &daemonapi.Failure{}
			if !errors.As(err, &failure) || !failure.Invalid || !strings.HasPrefix(failure.Cause, "Kubernetes does not accept the settings") || !strings.HasSuffix(failure.Cause, "-1: the kubelet's maxPods: no") {
				t.Errorf("%+v", err)
			}
			up(t, r.client, withPrograms(newSettings))
			assertWhole(t, r.client, h.Cluster("demo").State(), w.programs, newSettings)
		})
	}
}
