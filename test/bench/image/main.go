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
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/test/bench/cli"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/podimage"
)

// Goals of the project: loading onto three nodes relative to one, and seconds from a
// push to a pod on native nodes.
const (
	goalRatio       = 1.2
	goalPushSeconds = 2
)

// cluster is the name of the measured cluster, sleeping the argument that makes this
// program a pod's.
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
	skiff             cli.Skiff
	base              []byte // layer with a pod's program
}

func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	var env []string
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		env = append(env, "SKIFF_DRIVER=sandbox")
	}
	if b.skiff, err = cli.New(b.program, env...); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.skiff.Delete(ctx, cluster)) }()
	if b.base, err = podimage.Layer(); err != nil {
		return nil, err
	}
	if _, err := b.skiff.Run(ctx, "registry", "start", "--port", strconv.Itoa(freePort())); err != nil {
		return nil, err
	}
	if _, err := b.skiff.Run(ctx, "up", cluster); err != nil {
		return nil, err
	}
	loads, err := b.load(ctx)
	if err != nil {
		return nil, err
	}
	pushes, err := b.push(ctx)
	return append(loads, pushes...), err
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
		archive := filepath.Join(b.skiff.Dir, "image.tar")
		if err := b.write(archive, fmt.Sprintf("skiff.test/large:%d", i)); err != nil {
			return nil, err
		}
		var err error
		if took[i], err = b.skiff.Run(ctx, append([]string{"image", "load", "--cluster", cluster, archive}, only...)...); err != nil {
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
func (b *bench) write(path, name string) error {
	content := make([]byte, b.megabytes*1e6)
	_, _ = rand.Read(content)
	layer, err := oci.Layer([]oci.File{{Path: "content", Mode: 0o644, Data: content}})
	if err != nil {
		return err
	}
	return podimage.Write(path, name, layer, "none")
}
