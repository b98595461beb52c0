package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/kube"
)

// copyLimit bounds how long the images for one node take. Emulated machines exchange some
// 25 MB/s.
const copyLimit = 20 * time.Minute

// copyImages gives a new node the images that were loaded onto all nodes. A node that does
// not get them works without them; the next `skiff up` tries again.
func (e *executor) copyImages(ctx context.Context, n cluster.Node) error {
	if !lacksImages(e.state.current(), n) {
		return nil
	}
	if err := e.fetchImages(ctx, n); err != nil {
		e.log.Warn("loaded images not copied", "node", n.Name, "error", err)
		return ctx.Err()
	}
	return e.state.changeMachine(n.Name, func(m *cluster.Machine) { m.LacksImages = false })
}

func lacksImages(state cluster.State, n cluster.Node) bool {
	m, _ := state.Machine(n.Name)
	return m.LacksImages
}

// fetchImages copies the images from the first control plane that has them. Workers are not
// asked: a worker that an intruder controls would choose what runs on other nodes.
func (e *executor) fetchImages(ctx context.Context, n cluster.Node) error {
	ctx, cancel := context.WithTimeout(ctx, copyLimit)
	defer cancel()
	state := e.state.current()
	var failed []error
	for _, from := range e.state.controlPlanes() {
		if from.Arch != n.Arch || lacksImages(state, from) || !e.machines.running(ctx, from.Name) {
			continue
		}
		err := e.copyFrom(ctx, from, n)
		if err == nil {
			return nil
		}
		failed = append(failed, fmt.Errorf("from %s: %w", from.Name, err))
	}
	return errors.Join(failed...)
}

// ctr returns a command for the images of pods.
func ctr(args ...string) []string {
	return append([]string{"ctr", "--namespace", "k8s.io", "images"}, args...)
}

func (e *executor) copyFrom(ctx context.Context, from, to cluster.Node) error {
	source, target := e.nodes.client(from), e.nodes.client(to)
	listed, err := source.Run(ctx, ctr("list", "--quiet", fmt.Sprintf("labels.%q==%s", names.LabelLoaded, names.ValueLoadedOnAll))...)
	loaded := strings.Fields(listed)
	if err != nil || len(loaded) == 0 {
		return err
	}
	e.log.Info("copying loaded images", "from", from.Name, "to", to.Name, "images", loaded)
	if e.has(cluster.ActionJoin, to.Name) {
		e.op.Begin(to.Name, phases[cluster.ActionJoin].phase, "copying images from "+from.Name)
	}
	if err := e.poll(ctx, to, e.limits.Join, func(ctx context.Context) error {
		_, err := target.Run(ctx, ctr("list", "--quiet")...) // containerd may be starting
		return err
	}); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	r, w := io.Pipe()
	group.Go(func() error {
		err := source.Pipe(ctx, nil, w, ctr(append([]string{"export", "--local", "--skip-manifest-json", "-"}, loaded...)...)...)
		return errors.Join(err, w.CloseWithError(err))
	})
	group.Go(func() error {
		// Without --platform, ctr also looks for what this CPU could run in 32 bits.
		err := target.Pipe(ctx, r, nil, ctr("import", "--local", "--platform", "linux", "--label", names.LabelLoaded+"="+names.ValueLoadedOnAll, "-")...)
		return errors.Join(err, r.CloseWithError(err))
	})
	return group.Wait()
}

// imageNotes returns one line for users for each node that is Ready without the loaded images.
func imageNotes(state cluster.State, registered map[string]kube.Node) []string {
	var notes []string
	for _, m := range state.Machines {
		if m.LacksImages && registered[m.Name].Ready == "True" {
			notes = append(notes, fmt.Sprintf("Not all images that were loaded are on %s yet: \"skiff up\" copies them.", m.Name))
		}
	}
	return notes
}
