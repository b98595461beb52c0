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
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/controlplane/apiserver"
	"github.com/skiff-dev/skiff/controlplane/bootstrap"
	"github.com/skiff-dev/skiff/controlplane/cloud"
	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/controlplane/controllers"
	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/controlplane/labeller"
	"github.com/skiff-dev/skiff/controlplane/leadership"
	"github.com/skiff-dev/skiff/controlplane/provisioner"
	"github.com/skiff-dev/skiff/controlplane/rootca"
	"github.com/skiff-dev/skiff/controlplane/scheduler"
	"github.com/skiff-dev/skiff/controlplane/simulator"
	"github.com/skiff-dev/skiff/controlplane/transport"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/internal/unixsocket"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Run runs the control plane until ctx ends or a part of it fails. It stops in
// order: controllers and scheduler release their lease, the API server finishes its
// requests, etcd closes its database. If that takes too long, Run returns early and
// the process must end.
func Run(ctx context.Context, s Settings, log *slog.Logger) error {
	if s.Node.Etcd == nil {
		return fmt.Errorf("the document of node %s has no etcd section", s.Node.Name)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &run{
		settings: s, log: log, memory: transport.NewServer(), started: time.Now(), etcdUp: make(chan struct{}),
		control: newControl(s.Etcd(), fail),
	}
	listener, err := unixsocket.Listen(s.ControlSocket())
	if err != nil {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	stopControl := background(func(ctx context.Context) error { return controlapi.Serve(ctx, listener, r.control) }, fail)
	defer stopControl()
	ended := make(chan error, 1)
	go func() { ended <- r.serve(ctx, fail) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	return r.awaitEnd(ctx, ended)
}

func (r *run) serve(ctx context.Context, fail context.CancelCauseFunc) error {
	s, log := r.settings, r.log
	if err := r.control.awaitRelease(ctx, log); err != nil {
		return errors.Join(outcome(ctx), unlessEnded(ctx, err))
	}
	r.started = time.Now()
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
	// Without a majority of the members etcd does not serve until others return.
	if err := r.member.Ready(ctx); err != nil {
		return errors.Join(outcome(ctx), unlessEnded(ctx, err))
	}
	r.phase("etcd serves")
	r.replaceRoots(ctx)
	stopAPI := background(built.Run, fail)
	defer stopAPI()
	// Nodes need their roles as soon as the API is ready. Later, the controllers' start would
	// delay them.
	stopBootstrap := background(r.bootstrap, fail)
	defer stopBootstrap()
	if err := r.ready(ctx); err != nil {
		return outcome(ctx)
	}
	r.phase("ready")
	r.control.set(controlapi.StateServing)
	stopLeading := background(r.lead, fail)
	defer stopLeading()
	stopSnapshots := background(func(ctx context.Context) error {
		r.member.KeepSnapshots(ctx, filepath.Join(s.StateDir, "snapshots"), log)
		return nil
	}, fail)
	defer stopSnapshots()
	stopDraining := background(func(ctx context.Context) error {
		return r.control.drain(ctx, func() {
			stopLeading()
			stopBootstrap()
			built.Linger(drainLinger)
			stopAPI()
			r.phase("drained")
		})
	}, fail)
	defer stopDraining()

	<-ctx.Done()
	log.Info("stopping")
	return outcome(ctx)
}

// unlessEnded returns err, or nil if ctx has ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// outcome returns nil if Run was asked to stop, else the error of the part that
// failed.
func outcome(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// background runs part with a context of its own, so that the caller chooses the
// order in which parts stop: stop ends the part and waits for it.
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
	control  *control

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
	r.control.started(r.member)
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

// buildAPI builds the API server, with a temporary file that it reads once.
func (r *run) buildAPI(ctx context.Context) (*apiserver.Server, error) {
	private, err := os.MkdirTemp(r.settings.PrivateDir, "controlplane-")
	if err != nil {
		return nil, fmt.Errorf("create a private directory: %w", err)
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
	s.DialEtcd, s.NewEtcdClient, s.EtcdCompactRevision = r.member.Dial, r.member.NewClient, r.member.CompactRevision
	if s, err = withFiles(s, private, r.settings.PrivateDir); err != nil {
		return nil, err
	}
	return apiserver.New(ctx, s, r.memory)
}

// readyPoll is how often a starting API server is checked for readiness.
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

// replaceRoots replaces the authority of another cluster whose database this one began with. If
// that fails, the controllers do it later.
func (r *run) replaceRoots(ctx context.Context) {
	authority, err := os.ReadFile(filepath.Join(r.settings.PKIDir, "ca.crt"))
	replaced := 0
	if err == nil {
		client := r.member.NewClient()
		defer func() { _ = client.Close() }()
		replaced, err = rootca.Replace(ctx, client, authority)
	}
	switch {
	case err != nil && ctx.Err() == nil:
		r.log.Warn("the authority for pods was not checked", "error", err)
	case replaced > 0:
		r.phase(fmt.Sprintf("authority replaced in %d namespaces", replaced))
	}
}

func (r *run) bootstrap(ctx context.Context) error {
	kubernetes := r.settings.Node.Kubernetes
	settings := bootstrap.Settings{HostVolumes: r.settings.hostFolder() != "", GatewayAPI: kubernetes.GatewayAPI, Runtimes: nodeconfig.RuntimesNamed(kubernetes.Runtimes)}
	if !kubernetes.Without.DNS {
		settings.DNSAddress = kubernetes.DNSAddress
	}
	err := bootstrap.Run(ctx, r.memory.Client(transport.Privileged()), settings)
	if err == nil {
		r.phase("bootstrap objects in place")
	}
	return err
}

// lead waits for the lease and runs what only one control plane may run. A process
// that has lost the lease must end, but its etcd member may be needed for the
// majority: the usual cause of a lost lease is a lost member.
func (r *run) lead(ctx context.Context) error {
	err := r.holdLease(ctx)
	if errors.Is(err, leadership.ErrLost) {
		r.log.Warn("the lease is lost; the process ends once etcd has a majority without its member")
		r.awaitSpare(ctx)
	}
	return err
}

// sparePoll is how often the members are checked for a majority.
const sparePoll = 2 * time.Second

// awaitSpare returns when the other members are a majority, or ctx ends.
func (r *run) awaitSpare(ctx context.Context) {
	for {
		members, err := r.settings.Etcd().MemberStatus(ctx)
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

func (r *run) holdLease(ctx context.Context) error {
	return leadership.Run(ctx, leadership.Settings{
		Client: r.client(names.UserLeader),
		Name:   r.settings.Node.Name,
		Alone:  r.member.Alone, Emulated: r.settings.Node.Emulated,
		Lead: func(ctx context.Context) error {
			r.phase("leading")
			return together(ctx,
				func(ctx context.Context) error {
					return controllers.Run(ctx, r.settings.controllers(), r.memory)
				},
				func(ctx context.Context) error {
					return scheduler.Run(ctx, scheduler.Settings{Client: r.client(names.UserScheduler), Config: r.settings.Components.Scheduler.Config, Running: r.control.schedules})
				},
				func(ctx context.Context) error {
					return labeller.Run(ctx, labeller.Settings{Client: r.client(names.UserLabeller), Log: r.log})
				},
				r.runCloud,
				func(ctx context.Context) error {
					return provisioner.Run(ctx, provisioner.Settings{
						Client: r.client(names.UserProvisioner), HostFolder: r.settings.hostFolder(), Log: r.log,
					})
				},
				func(ctx context.Context) error {
					return simulator.Run(ctx, simulator.Settings{Client: r.client(names.UserSimulator), Log: r.log})
				},
			)
		},
	})
}

// runCloud runs the cloud controllers if the cluster has a cloud.
func (r *run) runCloud(ctx context.Context) error {
	if !r.settings.Node.Kubernetes.Cloud {
		return nil
	}
	endpoint := netip.AddrPortFrom(r.settings.Node.Network.Gateway, nodeconfig.PortCloud)
	client, err := cloudapi.NewClient(endpoint, r.settings.PKIDir)
	if err != nil {
		return err
	}
	return cloud.Run(ctx, cloud.Settings{
		Client: r.client(names.UserCloudController), Cluster: r.settings.Node.Cluster, Cloud: client, Log: r.log,
	})
}

func (r *run) client(user string) *rest.Config { return r.memory.Client(transport.User(user)) }

// together runs all parts until ctx ends or one of them fails. It returns the first
// error after all have ended.
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
