// Command build measures how long it takes until a change of 5 MiB is an image on all
// three nodes: with `skiff image build`, and with nerdctl on a node, whose image is then
// saved and loaded onto all nodes. It uses a separate SKIFF_HOME and kubeconfig, and
// deletes the cluster at the end. Without root, the nodes are virtual machines.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/test/bench/cli"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/podimage"
)

const (
	// cluster is the name of the measured cluster, step the argument that makes this
	// program the RUN step of the builds.
	cluster = "bench"
	step    = "step"
	// changedBytes is the size of the file that changes in every round.
	changedBytes = 5 << 20
	// goalRatio is the time of a build relative to nerdctl's.
	goalRatio = 1
)

const dockerfile = "FROM skiff.test/base:1\nCOPY changed /changed\nRUN [\"" + podimage.Program + "\", \"" + step + "\"]\n"

// Where nerdctl finds its program and the files of a build, on the node.
const peerDir = "/var/tmp/peer"

func main() {
	if slices.Equal(os.Args[1:], []string{step}) {
		return
	}
	b := &bench{}
	out := flag.String("out", "build/bench/build.json", "output file for the figures")
	flag.StringVar(&b.program, "skiff", "bin/skiff", "the skiff program, with the image in the same directory")
	flag.StringVar(&b.buildctl, "buildctl", "build/peers/buildctl", "BuildKit's client, which nerdctl needs")
	flag.IntVar(&b.rounds, "rounds", 5, "number of measured builds")
	flag.Parse()
	figure.Main("build", *out, b.run)
}

type bench struct {
	program, buildctl string
	rounds            int
	skiff             cli.Skiff
	dir               string // with the Dockerfile
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
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	first, err := b.build(ctx, "first")
	if err != nil {
		return nil, err
	}
	var own, peer []float64
	for round := range b.rounds {
		took, err := b.build(ctx, fmt.Sprint(round))
		if err != nil {
			return nil, err
		}
		own = append(own, took.Seconds())
		if took, err = b.peer(ctx, fmt.Sprint(round)); err != nil {
			return nil, err
		}
		peer = append(peer, took.Seconds())
	}
	slices.Sort(own)
	slices.Sort(peer)
	against := peer[len(peer)/2]
	return []figure.Figure{
		figure.New("the first build, which sends the builder to the node", "s", first.Seconds(), 0),
		figure.New("a change of 5 MiB onto three nodes, median; nerdctl build, save and load", "s", own[len(own)/2], goalRatio*against).Against(against),
	}, nil
}

// prepare creates the cluster with the base image, and gives a node what nerdctl needs.
func (b *bench) prepare(ctx context.Context) error {
	b.dir = filepath.Join(b.skiff.Dir, "context")
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		return err
	}
	layer, err := podimage.Layer()
	if err != nil {
		return err
	}
	base := filepath.Join(b.skiff.Dir, "base.tar")
	if err := podimage.Write(base, "skiff.test/base:1", layer, podimage.Program); err != nil {
		return err
	}
	if _, err := b.skiff.Run(ctx, "up", cluster); err != nil {
		return err
	}
	if _, err := b.skiff.Run(ctx, "image", "load", "--cluster", cluster, base); err != nil {
		return err
	}
	return b.shell(ctx, `"$0" shell -c "$1" worker-1 -- sh -c "mkdir -p $2 && cat > $2/buildctl && chmod 755 $2/buildctl" < "$3"`, peerDir, b.buildctl)
}

// build builds a changed image with skiff.
func (b *bench) build(ctx context.Context, tag string) (time.Duration, error) {
	if err := b.change(); err != nil {
		return 0, err
	}
	return b.skiff.Run(ctx, "image", "build", "--cluster", cluster, "--progress", "quiet", "-t", "skiff.test/own:"+tag, b.dir)
}

// peer builds a changed image with nerdctl on a node and loads it onto all.
func (b *bench) peer(ctx context.Context, tag string) (time.Duration, error) {
	if err := b.change(); err != nil {
		return 0, err
	}
	began := time.Now()
	err := b.shell(ctx, `set -e
tar -C "$3" -c . | "$0" shell -c "$1" worker-1 -- sh -c "rm -rf $2/context && mkdir $2/context && tar -C $2/context -x &&
  PATH=$2:\$PATH BUILDKIT_HOST=unix:///run/skiff/builder.sock nerdctl build --quiet -t $4 $2/context"
"$0" nerdctl -c "$1" worker-1 -- save "$4" | "$0" image load -c "$1" -`, peerDir, b.dir, "skiff.test/peer:"+tag)
	return time.Since(began), err
}

// shell runs a script of this host, with the program as $0, the cluster as $1 and then
// the arguments.
func (b *bench) shell(ctx context.Context, script string, args ...string) error {
	program, err := filepath.Abs(b.program)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "sh", append([]string{"-c", script, program, cluster}, args...)...)
	command.Env, command.Stdout, command.Stderr = b.skiff.Env, os.Stderr, os.Stderr
	return command.Run()
}

// change gives the file of the next build new content.
func (b *bench) change() error {
	content := make([]byte, changedBytes)
	_, _ = rand.Read(content)
	return os.WriteFile(filepath.Join(b.dir, "changed"), content, 0o600)
}
