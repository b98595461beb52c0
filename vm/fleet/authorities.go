package fleet

import (
	"context"

	"k8s.io/client-go/kubernetes"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/internal/wakeup"
	"github.com/skiff-dev/skiff/vm/kube"
)

// authorities keeps the ConfigMaps that ask for the user's authorities up to date.
type authorities struct {
	core
	client  kubernetes.Interface // its requests have no time limit
	changed wakeup.Signal        // sent when the spec may have changed
}

func newAuthorities(c core) (*authorities, error) {
	client, err := kube.NewWatcher(c.api.watchConfig())
	return &authorities{core: c, client: client, changed: wakeup.New()}, err
}

// wake lets run look at the spec again.
func (a *authorities) wake() {
	a.changed.Send()
}

// run writes what the spec has, until ctx ends.
func (a *authorities) run(ctx context.Context) error {
	wanted := func() string { return a.state.spec().Environment.Authorities }
	for ctx.Err() == nil {
		now := wanted()
		current, cancel := untilOther(ctx, a.changed, now, wanted)
		err := a.keep(current, now)
		if err != nil && current.Err() == nil {
			a.log.Debug("authorities not written, trying again", "error", err)
			_ = pause.For(current, announceAgain)
		}
		cancel()
	}
	return nil
}

func (a *authorities) keep(ctx context.Context, content string) error {
	if content != "" {
		return kube.KeepAuthorities(ctx, a.client, content)
	}
	err := kube.RemoveAuthorities(ctx, a.client)
	if err == nil {
		<-ctx.Done()
	}
	return err
}
