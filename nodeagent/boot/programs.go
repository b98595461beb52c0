package boot

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/internal/unixsocket"
	"github.com/skiff-dev/skiff/nodeagent/boot/program"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// The supervised programs, as Status names them.
const (
	programAPI          = "api"
	programControlPlane = "controlplane"
	programContainerd   = "containerd"
	programAgent        = "nodeagent"
	programBuilder      = nodeapi.ProgramBuilder
	taskImages          = "images"
)

const (
	// initProgram is this program, which is in the initramfs.
	initProgram = "/proc/self/exe"
	// ModeAPI is the argument that makes the program the node API.
	ModeAPI = "api"
	// runLogDir has the logs of programs that start before the node's disk is mounted.
	runLogDir  = nodeconfig.Dir + "/log"
	socketPoll = 20 * time.Millisecond
	// imagesArchive has the images that every node needs without a registry.
	imagesArchive = "/usr/share/skiff/images/pause.tar"
	// imagesDone exists if they are in containerd's store; it has the node image's ID.
	imagesDone = nodeconfig.StateDir + "/images-imported"
	imageID    = "/usr/lib/skiff/image-id"
)

// environment returns the environment of every program of the node.
func environment() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TERM=linux",
	}
}

// supervise runs the node's programs until ctx ends: the API at once, the others
// when disk and folders are mounted.
func (i *Init) supervise(ctx context.Context, node *nodeconfig.Node, mounted <-chan struct{}) error {
	i.journal.named(node.Name)
	disk := func(ctx context.Context) error { return wait(ctx, mounted) }
	supervise := func(logDir string, list ...program.Spec) {
		s := &program.Supervisor{Reaper: i.reaper, LogDir: logDir, Log: i.journal.say, Changed: i.journal.program}
		s.Run(ctx, list)
	}
	var all sync.WaitGroup
	all.Go(func() { supervise(runLogDir, apiSpec()) })
	all.Go(func() { supervise(nodeconfig.LogDir, specs(node, disk)...) })
	all.Wait()
	return nil
}

// specs returns the programs for the node's role.
func specs(node *nodeconfig.Node, disk func(context.Context) error) []program.Spec {
	env := environment()
	var list []program.Spec
	if node.Role == nodeconfig.RoleControlPlane {
		list = append(list, program.Spec{
			Name: programControlPlane, Args: []string{"/usr/bin/skiff-controlplane"}, Env: env,
			// Everything else waits for the API server.
			Ready: disk, Nice: -5, OOMScoreAdj: -997, StopTime: 20 * time.Second,
		})
	}
	return append(list,
		program.Spec{
			Name: programContainerd, Args: []string{"/usr/bin/containerd", "--config", "/etc/containerd/config.toml"}, Env: env,
			EnvFile: nodeconfig.ProxyFile, Ready: disk, OOMScoreAdj: -999, StopTime: 10 * time.Second,
		},
		program.Spec{
			Name: programAgent, Args: []string{"/usr/bin/skiff-nodeagent"}, Env: append(env, sandboxEnvironment()...),
			Ready: disk, OOMScoreAdj: -999, StopTime: 10 * time.Second,
		},
		program.Spec{
			Name: taskImages, Args: []string{"/usr/bin/ctr", "--namespace", "k8s.io", "images", "import", imagesArchive}, Env: env,
			Ready:    func(ctx context.Context) error { return errors.Join(disk(ctx), needImages(ctx)) },
			Once:     func() error { return copyFile(imagesDone, imageID) },
			StopTime: time.Second,
		},
		program.Spec{
			// It ends when it is not used. If memory is short, it goes before any pod.
			Name: programBuilder, Args: []string{nodeconfig.BuilderProgram}, Env: env,
			EnvFile:  nodeconfig.ProxyFile,
			Ready:    func(ctx context.Context) error { return errors.Join(disk(ctx), wanted(ctx, nodeconfig.BuilderStart)) },
			OnDemand: true, OOMScoreAdj: 900, StopTime: 10 * time.Second,
		},
	)
}

// apiSpec returns the node API. It is a separate program, so that PID 1 does not
// parse what the host sends.
func apiSpec() program.Spec {
	return program.Spec{
		Name: programAPI, Args: []string{initProgram, ModeAPI}, Env: append(environment(), sandboxEnvironment()...),
		OOMScoreAdj: -999, StopTime: time.Second,
	}
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-done:
		return nil
	}
}

var errImported = errors.New("the images are already imported")

// needImages waits for containerd. It fails if the archive of this node image was
// imported at an earlier boot.
func needImages(ctx context.Context) error {
	have, err := os.ReadFile(imagesDone)
	if err == nil {
		want, err := os.ReadFile(imageID)
		if err == nil && bytes.Equal(have, want) {
			return errImported
		}
	}
	return waitSocket(ctx, nodeconfig.ContainerdSocket)
}

func waitSocket(ctx context.Context, path string) error {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			return conn.Close()
		}
		if err := pause.For(ctx, socketPoll); err != nil {
			return err
		}
	}
}

// wanted waits until somebody connects to the socket, which exists only meanwhile.
func wanted(ctx context.Context, socket string) error {
	listener, err := unixsocket.Listen(socket)
	if err != nil {
		return err
	}
	closed := context.AfterFunc(ctx, func() { listener.Close() })
	defer closed()
	defer listener.Close()
	conn, err := listener.Accept()
	if err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return conn.Close()
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return atomicfile.Write(to, content, 0o644)
}
