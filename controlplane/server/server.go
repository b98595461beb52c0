// Package server keeps one control plane running as one process: etcd, the API
// server, and, while this node is in charge, the controllers and the scheduler.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/controlplane/apiserver"
	"github.com/skiff-dev/skiff/controlplane/approver"
	"github.com/skiff-dev/skiff/controlplane/bootstrap"
	"github.com/skiff-dev/skiff/controlplane/controllers"
	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/controlplane/inventory"
	"github.com/skiff-dev/skiff/controlplane/labeller"
	"github.com/skiff-dev/skiff/controlplane/leadership"
	"github.com/skiff-dev/skiff/controlplane/provisioner"
	"github.com/skiff-dev/skiff/controlplane/scheduler"
	"github.com/skiff-dev/skiff/controlplane/transport"
	"github.com/skiff-dev/skiff/internal/names"
)

// stopLimit bounds how long a control plane takes to stop. Without a majority of
// etcd's members nothing that is under way ends by itself; etcd's data is safe at
// any time.
const stopLimit = 15 * time.Second

// Run runs the control plane until ctx ends or a part of it fails. It stops in
// order: controllers and scheduler give back their lease, the API server ends
// its requests, etcd closes its database. When that takes too long Run returns
// before it is over, and the process must end.
func Run(ctx context.Context, s Settings, log *slog.Logger) error {
	if s.Node.Etcd == nil {
		return fmt.Errorf("node %s has no place in an etcd cluster", s.Node.Name)
	}
	r := &run{settings: s, log: log, memory: transport.NewServer(), started: time.Now(), etcdUp: make(chan struct{})}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	ended := make(chan error, 1)
	go func() { ended <- r.serve(ctx, fail) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(stopLimit):
		return errors.Join(outcome(ctx), fmt.Errorf("not stopped within %s", stopLimit))
	}
}

func (r *run) serve(ctx context.Context, fail context.CancelCauseFunc) error {
	s, log := r.settings, r.log
	// Before etcd starts, which obeys those that are there.
	asked, err := watchRequests(s.Etcd().Changes())
	if err != nil {
		return err
	}
	stopRequests := background(asked.wait, fail)
	defer stopRequests()
	defer r.stopEtcd()
	go r.startEtcd(ctx, fail)
	built, err := r.buildAPI(ctx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return err
	}
	r.phase("API server built")
	if s.Built != nil {
		s.Built()
	}
	// Without a majority of the members nothing can be served, for as long as it
	// takes the others to come back.
	if err := r.member.Ready(ctx); err != nil {
		return errors.Join(outcome(ctx), unlessEnded(ctx, err))
	}
	r.phase("etcd serves")
	stopAlarms := background(r.watchAlarms, fail)
	defer stopAlarms()

	stopAPI := background(built.Run, fail)
	defer stopAPI()
	if err := r.ready(ctx); err != nil {
		return outcome(ctx)
	}
	r.phase("ready")
	stopBootstrap := background(r.bootstrap, fail)
	defer stopBootstrap()
	stopLeading := background(r.lead, fail)
	defer stopLeading()
	stopSnapshots := background(func(ctx context.Context) error {
		r.member.KeepSnapshots(ctx, filepath.Join(s.StateDir, "snapshots"), log)
		return nil
	}, fail)
	defer stopSnapshots()
	stopDraining := background(func(ctx context.Context) error {
		return r.drain(ctx, func() {
			stopLeading()
			stopBootstrap()
			built.Linger(drainLinger)
			stopAPI()
		})
	}, fail)
	defer stopDraining()

	<-ctx.Done()
	log.Info("stopping")
	return outcome(ctx)
}

// unlessEnded is err, or nil when that only says that ctx has ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// outcome is nil when Run was asked to stop, else the part's error.
func outcome(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// background runs part apart from the caller's context, so that the caller
// chooses the order in which parts stop: stop ends the part and waits for it.
func background(part func(context.Context) error, fail context.CancelCauseFunc) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := part(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			fail(err)
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

type run struct {
	settings Settings
	log      *slog.Logger
	memory   *transport.Server
	started  time.Time

	etcdUp chan struct{} // closed when member and err are final
	member *etcd.Member
	err    error
}

func (r *run) phase(name string) {
	r.log.Info("control plane", "phase", name, "after", time.Since(r.started).Round(time.Millisecond))
}

func (r *run) startEtcd(ctx context.Context, fail context.CancelCauseFunc) {
	defer close(r.etcdUp)
	if r.member, r.err = etcd.Start(ctx, r.settings.Etcd(), r.log); r.err != nil {
		fail(r.err)
		return
	}
	r.phase("etcd started")
	go func() {
		if err, open := <-r.member.Failed(); open && err != nil {
			fail(fmt.Errorf("serve etcd: %w", err))
		}
	}()
}

func (r *run) stopEtcd() {
	<-r.etcdUp
	if r.member != nil {
		r.member.Stop()
	}
}

// buildAPI hands the API server the file that it reads at its start only.
func (r *run) buildAPI(ctx context.Context) (*apiserver.Server, error) {
	private, err := os.MkdirTemp(r.settings.PrivateDir, "controlplane-")
	if err != nil {
		return nil, fmt.Errorf("make a private directory: %w", err)
	}
	defer os.RemoveAll(private)
	s := r.settings.apiserver()
	select {
	case <-r.etcdUp:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if r.err != nil {
		return nil, r.err
	}
	s.DialEtcd, s.NewEtcdClient = r.member.Dial, r.member.NewClient
	s.AuditPolicy = filepath.Join(private, "audit.yaml")
	if err := os.WriteFile(s.AuditPolicy, []byte(apiserver.AuditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("write the API server's configuration: %w", err)
	}
	return apiserver.New(ctx, s, r.memory)
}

// readyPoll is how often a starting API server is asked whether it is ready.
const readyPoll = 20 * time.Millisecond

func (r *run) ready(ctx context.Context) error {
	client := &http.Client{Transport: r.memory.As(transport.User(names.UserProbe))}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://localhost/readyz", nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(readyPoll):
		}
	}
}

func (r *run) bootstrap(ctx context.Context) error {
	err := bootstrap.Run(ctx, r.memory.Client(transport.Privileged()), bootstrap.Settings{DNSAddress: r.settings.Node.Kubernetes.DNSAddress})
	if err == nil {
		r.phase("bootstrap objects in place")
	}
	return err
}

// lead strives for the lease and runs what only one control plane may run. A
// process that has lost the lease must end, but its member of etcd may be the one
// on which the majority hangs: most often the lease is lost because another
// member is.
func (r *run) lead(ctx context.Context) error {
	err := r.strive(ctx)
	if errors.Is(err, leadership.ErrLost) {
		r.log.Warn("the lease is lost; the process ends when the others can do without its member")
		r.awaitSpare(ctx)
	}
	return err
}

// sparePoll is how often the members are asked whether one may leave.
const sparePoll = 2 * time.Second

// awaitSpare returns when etcd can do without this member, or ctx ends.
func (r *run) awaitSpare(ctx context.Context) {
	for {
		members, err := r.settings.Etcd().StatusOfMembers(ctx)
		if err == nil && etcd.Spares(members, r.settings.Node.Name) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(sparePoll):
		}
	}
}

func (r *run) strive(ctx context.Context) error {
	return leadership.Run(ctx, leadership.Settings{
		Client: r.client(names.UserLeader),
		Name:   r.settings.Node.Name,
		Sole:   r.member.Alone, Emulated: r.settings.Node.Emulated,
		Lead: func(ctx context.Context) error {
			r.phase("leading")
			return together(ctx,
				func(ctx context.Context) error {
					return controllers.Run(ctx, r.settings.controllers(), r.memory)
				},
				func(ctx context.Context) error {
					return scheduler.Run(ctx, scheduler.Settings{Client: r.client(names.UserScheduler)})
				},
				func(ctx context.Context) error {
					return approver.Run(ctx, approver.Settings{Client: r.client(names.UserApprover), Inventory: inventory.Of(r.settings.Node), Log: r.log})
				},
				func(ctx context.Context) error {
					return labeller.Run(ctx, labeller.Settings{Client: r.client(names.UserLabeller), Log: r.log})
				},
				func(ctx context.Context) error {
					return provisioner.Run(ctx, provisioner.Settings{Client: r.client(names.UserProvisioner), Log: r.log})
				},
			)
		},
	})
}

func (r *run) client(user string) *rest.Config { return r.memory.Client(transport.User(user)) }

// together runs all parts until ctx ends or one of them fails, and returns when
// all have ended, with the first error.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}
