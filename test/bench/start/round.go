package main

import (
	"context"
	"errors"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// answerPoll and answerLimit are for the API of a cluster that continues.
const (
	answerPoll  = 5 * time.Millisecond
	answerLimit = 5 * time.Minute
)

// answerAttempt returns how long one attempt to reach the API may take. It may have begun
// with a machine that was still paused, so it is short, but not shorter than an answer.
func (b *bench) answerAttempt() time.Duration {
	if b.driver == sandbox {
		return 50 * time.Millisecond
	}
	return 2 * time.Second
}

// round measures each kind of start once, from a new cluster to its end.
func (b *bench) round(ctx context.Context) error {
	for _, step := range []func(context.Context) error{b.create, b.restart, b.continueSaved, b.clone, b.resume, b.template} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	_, err := b.skiff.Run(ctx, "down", cluster)
	return err
}

func (b *bench) create(ctx context.Context) error {
	return b.up(ctx, startNew, startNewAPI, "up", cluster, "--driver", b.driver, "--control-planes", "1", "--workers", "2")
}

func (b *bench) restart(ctx context.Context) error {
	if _, err := b.skiff.Run(ctx, "stop", cluster, "--shutdown"); err != nil {
		return err
	}
	return b.up(ctx, startAgain, startAgainAPI, "up", cluster)
}

// continueSaved measures a start from memory that "skiff stop" kept, with drivers that can.
func (b *bench) continueSaved(ctx context.Context) error {
	if b.driver == sandbox {
		return nil
	}
	if _, err := b.skiff.Run(ctx, "stop", cluster); err != nil {
		return err
	}
	return b.up(ctx, startSaved, "", "up", cluster)
}

func (b *bench) clone(ctx context.Context) error {
	if _, err := b.skiff.Run(ctx, "snapshot", "create", snapshotName, "--cluster", cluster); err != nil {
		return err
	}
	err := b.up(ctx, startClone, "", "up", copied, "--from", cluster+"/"+snapshotName)
	_, downErr := b.skiff.Run(context.WithoutCancel(ctx), "down", copied)
	if err == nil && b.driver != sandbox {
		err = b.up(ctx, startCloneSaved, "", "up", copied, "--from", cluster+"/"+snapshotName, "--with-memory")
		_, again := b.skiff.Run(context.WithoutCancel(ctx), "down", copied)
		downErr = errors.Join(downErr, again)
	}
	// A cluster with snapshots is not deleted.
	_, removeErr := b.skiff.Run(context.WithoutCancel(ctx), "snapshot", "rm", snapshotName, "--cluster", cluster)
	return errors.Join(err, downErr, removeErr)
}

// template measures a start from a template, with drivers that keep memory. The cluster is
// deleted first, so that its machines do not use the CPUs.
func (b *bench) template(ctx context.Context) error {
	if b.driver == sandbox {
		return nil
	}
	if _, err := b.skiff.Run(ctx, "down", cluster); err != nil {
		return err
	}
	plain := b.skiff
	defer func() { b.skiff = plain }()
	b.skiff = plain.With("SKIFF_TEMPLATES=16Gi")
	shape := []string{"--driver", b.driver, "--control-planes", "1", "--workers", "2"}
	if _, err := b.skiff.Run(ctx, append([]string{"template", "create"}, shape...)...); err != nil {
		return err
	}
	return b.up(ctx, startTemplate, "", append([]string{"up", cluster}, shape...)...)
}

// up measures a command that returns when all nodes are Ready, and, if api is not empty, how
// much of it had passed when the API was ready: what is not part of the operation, and the
// phases until then. A phase takes as long as with the slowest node, so this is rather too
// much.
func (b *bench) up(ctx context.Context, ready, api start, args ...string) error {
	took, err := b.skiff.Run(ctx, args...)
	if err != nil {
		return err
	}
	b.record(ready, took)
	if api == "" {
		return nil
	}
	var status daemonapi.ClusterStatus
	if err := b.skiff.Query(ctx, &status, "status", args[1]); err != nil {
		return err
	}
	phase := func(p daemonapi.Phase) time.Duration {
		return time.Duration(status.Timings[string(p)] * float64(time.Second))
	}
	command := took - phase(daemonapi.PhaseCluster)
	b.record(api, command+phase(daemonapi.PhasePrepare)+phase(daemonapi.PhaseBoot)+phase(daemonapi.PhaseControlPlane))
	return nil
}

// resume measures when the API of a paused cluster answers, and when the command returns.
func (b *bench) resume(ctx context.Context) error {
	if _, err := b.skiff.Run(ctx, "pause", cluster); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	type result struct {
		took time.Duration
		err  error
	}
	resumed := make(chan result, 1)
	begun := time.Now()
	go func() {
		took, err := b.skiff.Run(ctx, "resume", cluster)
		if err != nil {
			cancel()
		}
		resumed <- result{took, err}
	}()
	answered, err := b.answers(ctx)
	whole := <-resumed
	if err := errors.Join(err, whole.err); err != nil {
		return err
	}
	b.record(startResumeAPI, answered.Sub(begun))
	b.record(startResume, whole.took)
	return nil
}

// answers returns when the API of the cluster answers, each time on a new connection.
func (b *bench) answers(ctx context.Context) (time.Time, error) {
	for {
		config, err := clientcmd.BuildConfigFromFlags("", b.skiff.Kubeconfig())
		if err != nil {
			return time.Time{}, err
		}
		config.Timeout = b.answerAttempt()
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return time.Time{}, err
		}
		if _, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err == nil {
			return time.Now(), nil
		}
		if err := pause.For(ctx, answerPoll); err != nil {
			return time.Time{}, err
		}
	}
}
