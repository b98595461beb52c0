package fleet

import (
	"context"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/node"
)

// noRuntime is what to do about a node image without the programs of a container runtime.
const noRuntime = "build it again with \"make image\", or install skiff again"

// sendRuntimes gives a node the programs of the cluster's container runtimes that it does not
// have. They stay on its disk. It waits until that is mounted.
func (e *executor) sendRuntimes(ctx context.Context, n cluster.Node) error {
	state := e.state.current()
	img, err := e.images.get(state, state.ImageOf(n.Name, e.images.own()), n)
	if err != nil {
		return err
	}
	programs := runtimePrograms(img, state.Spec.Runtimes)
	if len(programs) == 0 {
		return nil
	}
	var has map[string]string
	if err := e.poll(ctx, n, e.limits.Join, func(ctx context.Context) (err error) {
		has, err = e.nodes.client(n).Programs(ctx)
		return err
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.limits.Join)
	defer cancel()
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		if has[name] == programs[name].SHA256 {
			continue
		}
		if err := e.nodes.client(n).SendProgram(ctx, name, programs[name]); err != nil {
			return err
		}
	}
	return nil
}

// runtimePrograms returns the programs that nodes with the named container runtimes need.
func runtimePrograms(img image.Image, runtimes []string) map[string]node.Program {
	programs := map[string]node.Program{}
	for _, runtime := range nodeconfig.RuntimesNamed(runtimes) {
		for _, name := range runtime.Programs {
			program := img.Programs[name]
			programs[name] = node.Program{
				SHA256: program.SHA256, Bytes: program.Bytes,
				Open: func() (io.ReadCloser, error) { return os.Open(program.Path) },
			}
		}
	}
	return programs
}
