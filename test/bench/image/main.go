// Command image measures how images get onto nodes: loading an archive onto one node
// and onto all three, and pushing a changed layer to the registry until a pod runs
// with it. It uses a separate SKIFF_HOME and kubeconfig, and deletes the cluster at
// the end. Without root, the nodes are virtual machines.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/test/bench/figure"
)

// Goals of the project: loading onto three nodes relative to one, and seconds from a
// push to a pod on native nodes.
const (
	goalRatio       = 1.2
	goalPushSeconds = 2
)

// cluster is the name of the measured cluster, sleeping the argument with which this
// program is a pod's.
const (
	cluster  = "bench"
	sleeping = "sleep"
)

func main() {
	if slices.Equal(os.Args[1:], []string{sleeping}) {
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		<-ended
		return
	}
	b := &bench{}
	out := flag.String("out", "build/bench/image.json", "output file for the figures")
	flag.StringVar(&b.program, "skiff", "bin/skiff", "the skiff program, with the image in the same directory")
	flag.IntVar(&b.megabytes, "size", 500, "size of the image that is loaded, in MB")
	flag.IntVar(&b.rounds, "rounds", 5, "how often a changed layer is pushed")
	flag.Parse()
	figure.Main("image", *out, b.run)
}

type bench struct {
	program           string
	megabytes, rounds int
	home              string
	env               []string
	base              []byte // layer with a pod's program
}

func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	if b.program, err = filepath.Abs(b.program); err != nil {
		return nil, err
	}
	// The path must be short, because it is part of socket paths.
	if b.home, err = os.MkdirTemp("", "skiff-bench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.home)) }()
	if err := b.prepare(); err != nil {
		return nil, err
	}
	defer func() {
		// An interrupted run must also delete its cluster.
		_, downErr := b.skiff(context.WithoutCancel(ctx), "down", cluster)
		err = errors.Join(err, downErr)
	}()
	if _, err := b.skiff(ctx, "registry", "start", "--port", strconv.Itoa(freePort())); err != nil {
		return nil, err
	}
	defer func() {
		_, stopErr := b.skiff(context.WithoutCancel(ctx), "registry", "stop")
		err = errors.Join(err, stopErr)
	}()
	if _, err := b.skiff(ctx, "up", cluster); err != nil {
		return nil, err
	}
	loads, err := b.load(ctx)
	if err != nil {
		return nil, err
	}
	pushes, err := b.push(ctx)
	return append(loads, pushes...), err
}

// prepare sets the environment and reads the program of the pods.
func (b *bench) prepare() error {
	b.env = append(os.Environ(), "SKIFF_HOME="+filepath.Join(b.home, "h"), "KUBECONFIG="+filepath.Join(b.home, "kubeconfig"))
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		b.env = append(b.env, "SKIFF_DRIVER=sandbox")
	}
	own, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(own)
	if err != nil {
		return err
	}
	b.base, err = oci.Layer([]oci.File{{Path: "program", Mode: 0o755, Data: program}})
	return err
}

// freePort returns a port that nobody listens on, 0 if that cannot be known.
func freePort() int {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// load measures how long an archive takes onto one node and onto all.
func (b *bench) load(ctx context.Context) ([]figure.Figure, error) {
	var took [2]time.Duration
	for i, only := range [][]string{{"--node", "worker-1"}, nil} {
		archive := filepath.Join(b.home, "image.tar")
		if err := b.write(archive, fmt.Sprintf("skiff.test/large:%d", i)); err != nil {
			return nil, err
		}
		var err error
		if took[i], err = b.skiff(ctx, append([]string{"image", "load", "--cluster", cluster, archive}, only...)...); err != nil {
			return nil, err
		}
		if err := os.Remove(archive); err != nil {
			return nil, err
		}
	}
	what := fmt.Sprintf("loading %d MB onto ", b.megabytes)
	return []figure.Figure{
		figure.New(what+"one node", "s", took[0].Seconds(), 0),
		figure.New(what+"three nodes", "s", took[1].Seconds(), goalRatio*took[0].Seconds()).Against(took[0].Seconds()),
	}, nil
}

// write writes an archive of an image that cannot be compressed.
func (b *bench) write(path, name string) (err error) {
	content := make([]byte, b.megabytes*1e6)
	_, _ = rand.Read(content)
	layer, err := oci.Layer([]oci.File{{Path: "content", Mode: 0o644, Data: content}})
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return oci.Write(file, oci.Image{Name: name, Arch: runtime.GOARCH, Layers: [][]byte{layer}, Config: v1.ImageConfig{Cmd: []string{"none"}}})
}

// skiff runs the program and returns how long that took.
func (b *bench) skiff(ctx context.Context, args ...string) (time.Duration, error) {
	command := exec.CommandContext(ctx, b.program, args...)
	command.Env, command.Stdout, command.Stderr = b.env, os.Stderr, os.Stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("skiff %v: %w", args, err)
	}
	return time.Since(start), nil
}
