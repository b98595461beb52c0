package fleet

import (
	"context"
	"slices"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/network"
)

// podProxy keeps the variables that new pods get up to date.
type podProxy struct {
	core
	changed wakeup.Signal // sent when the spec may have changed
}

func newPodProxy(c core) *podProxy { return &podProxy{core: c, changed: wakeup.New()} }

// wake lets run look at the spec again.
func (p *podProxy) wake() {
	p.changed.Send()
}

// run tells the API what the spec asks for, at first and after changes, until ctx ends.
func (p *podProxy) run(ctx context.Context) error {
	for {
		if !p.tell(ctx) {
			if pause.For(ctx, announceAgain) != nil {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.changed:
		}
	}
}

// tell reports whether the API knows what the spec asks for now.
func (p *podProxy) tell(ctx context.Context) bool {
	wanted := podVariables(p.state.spec())
	if err := p.api.kube.SetPodVariables(ctx, wanted); err != nil {
		p.log.Debug("the proxy of pods is not set, trying again", "error", err)
		return false
	}
	return slices.Equal(wanted, podVariables(p.state.spec()))
}

// podVariables returns the variables of new pods.
func podVariables(spec cluster.Spec) []string {
	if !spec.Proxy.Pods {
		return nil
	}
	return cluster.NodeProxy(spec, network.HostServices(spec.Network.Nodes)).Environment()
}
