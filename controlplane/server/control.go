package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/controlplane/etcd"
	"github.com/skiff-dev/skiff/controlplane/simulation"
	"github.com/skiff-dev/skiff/internal/wakeup"
)

const (
	// drainLinger is how long the API server still serves clients while telling
	// them to connect elsewhere.
	drainLinger = time.Second
	// drainedLimit is how long a control plane serves no clients. Within that its
	// member should have left etcd and its machine ended.
	drainedLimit = 2 * time.Minute
)

// Errors that end Run, so that the supervisor starts the process again.
var (
	errHeld  = errors.New("etcd is held for a restore")
	errStays = fmt.Errorf("drained %s ago and not removed", drainedLimit)
)

// control implements controlapi.Service for this process, from its start to its
// end.
type control struct {
	etcd etcd.Settings
	fail context.CancelCauseFunc // ends Run

	released    wakeup.Signal // sent by Release
	beginDrain  func()        // closes drainBegun
	drainBegun  chan struct{}
	drained     chan struct{} // closed when no clients are served
	restoreStep sync.Mutex    // held while a step of a restore is carried out

	mu        sync.Mutex // guards what follows
	state     controlapi.State
	member    *etcd.Member          // nil until etcd has started
	simulator *simulation.Simulator // nil unless this process schedules
}

var _ controlapi.Service = (*control)(nil)

func newControl(s etcd.Settings, fail context.CancelCauseFunc) *control {
	begun := make(chan struct{})
	return &control{
		etcd: s, fail: fail, state: controlapi.StateStarting, released: wakeup.New(),
		beginDrain: sync.OnceFunc(func() { close(begun) }), drainBegun: begun, drained: make(chan struct{}),
	}
}

func (c *control) set(state controlapi.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
}

func (c *control) started(member *etcd.Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.member = member
}

func (c *control) schedules(simulator *simulation.Simulator) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.simulator = simulator
}

// Room implements controlapi.Process.
func (c *control) Room(ctx context.Context, r controlapi.RoomRequest) (controlapi.Room, error) {
	c.mu.Lock()
	simulator := c.simulator
	c.mu.Unlock()
	if simulator == nil {
		return controlapi.Room{}, fmt.Errorf("%w: this control plane does not schedule", controlapi.ErrRefused)
	}
	return simulator.Room(ctx, r)
}

func (c *control) now() (controlapi.State, *etcd.Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.member
}

// awaitRelease returns when etcd may start, or with the end of ctx.
func (c *control) awaitRelease(ctx context.Context, log *slog.Logger) error {
	for {
		held, err := c.etcd.Held()
		if err != nil {
			return err
		}
		if held == "" {
			c.set(controlapi.StateStarting)
			return nil
		}
		log.Info("etcd is held", "restore", held)
		c.set(controlapi.StateHeld)
		select {
		case <-c.released:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Status implements controlapi.Process.
func (c *control) Status(context.Context) (controlapi.Status, error) {
	state, member := c.now()
	status := controlapi.Status{State: state}
	held, err := c.etcd.Held()
	if err != nil {
		return status, err
	}
	if status.Held = held; state != controlapi.StateHeld && held != "" {
		status.Held = "" // this process is about to end
	}
	if status.Restored, err = c.etcd.Restored(); err != nil {
		return status, err
	}
	if member != nil {
		status.ClusterID, status.PeerAuthorities = member.ClusterID(), member.PeerAuthorities()
		for _, alarm := range member.Alarms() {
			status.Alarms = append(status.Alarms, advice(alarm))
		}
	}
	return status, nil
}

// advice explains an alarm of etcd and what to do about it, in one line.
func advice(alarm string) string {
	switch alarm {
	case "NOSPACE":
		return "The database is full and refuses writes: delete what is not needed, then run \"skiff etcd defrag\"."
	case "CORRUPT":
		return "The members' databases differ and refuse writes: run \"skiff etcd restore\" with a snapshot."
	default:
		return fmt.Sprintf("The database raises the alarm %s.", alarm)
	}
}

// Drain implements controlapi.Process.
func (c *control) Drain(ctx context.Context) error {
	if state, _ := c.now(); state != controlapi.StateServing && state != controlapi.StateDrained {
		return fmt.Errorf("%w: a control plane that is %s cannot be drained", controlapi.ErrRefused, state)
	}
	c.beginDrain()
	select {
	case <-c.drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain the control plane: %w", context.Cause(ctx))
	}
}

// drain calls letGo when draining is requested, and fails if the control plane
// is not removed after that.
func (c *control) drain(ctx context.Context, letGo func()) error {
	select {
	case <-c.drainBegun:
	case <-ctx.Done():
		return nil
	}
	letGo()
	c.set(controlapi.StateDrained)
	close(c.drained)
	select {
	case <-time.After(drainedLimit):
		return errStays
	case <-ctx.Done():
		return nil
	}
}

// loadedMetric is set by upstream's controller of the encryption configuration
// (k8s.io/apiserver/pkg/server/options/encryptionconfig/metrics).
const loadedMetric = "apiserver_encryption_config_controller_last_config_info"

// Keys implements controlapi.Process.
func (c *control) Keys(context.Context) (controlapi.Keys, error) {
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		return controlapi.Keys{}, fmt.Errorf("read the metrics of the encryption configuration: %w", err)
	}
	for _, family := range families {
		if family.GetName() != loadedMetric {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "hash" {
					return controlapi.Keys{Loaded: strings.TrimPrefix(label.GetValue(), "sha256:")}, nil
				}
			}
		}
	}
	return controlapi.Keys{}, fmt.Errorf("%w: no keys are loaded yet", controlapi.ErrRefused)
}

// running refuses what needs the etcd cluster while this member is held.
func (c *control) running() error {
	if state, _ := c.now(); state == controlapi.StateHeld {
		return fmt.Errorf("%w: %w", controlapi.ErrRefused, errHeld)
	}
	return nil
}

// Members implements controlapi.Etcd.
func (c *control) Members(ctx context.Context) ([]controlapi.EtcdMember, error) {
	if err := c.running(); err != nil {
		return nil, err
	}
	return c.etcd.MemberStatus(ctx)
}

// SecretKeys implements controlapi.Etcd.
func (c *control) SecretKeys(ctx context.Context) (map[string]int, error) {
	if err := c.running(); err != nil {
		return nil, err
	}
	return c.etcd.EncryptionKeys(ctx)
}

// Remove implements controlapi.Etcd.
func (c *control) Remove(ctx context.Context, r controlapi.RemoveRequest) error {
	if err := c.running(); err != nil {
		return err
	}
	address, err := netip.ParseAddr(r.Address)
	if err != nil || r.Name == "" {
		return fmt.Errorf("%w: remove member %q at %q", controlapi.ErrInvalid, r.Name, r.Address)
	}
	return c.etcd.Remove(ctx, r.Name, address)
}

// Snapshot implements controlapi.Etcd.
func (c *control) Snapshot(ctx context.Context, out io.Writer) error {
	if err := c.running(); err != nil {
		return err
	}
	return c.etcd.Snapshot(ctx, out)
}

// Defragment implements controlapi.Etcd.
func (c *control) Defragment(ctx context.Context) error {
	if err := c.running(); err != nil {
		return err
	}
	return c.etcd.Defragment(ctx)
}

// Compact implements controlapi.Etcd.
func (c *control) Compact(ctx context.Context) error {
	if err := c.running(); err != nil {
		return err
	}
	return c.etcd.Compact(ctx)
}

// Stage implements controlapi.Restore.
func (c *control) Stage(ctx context.Context, snapshot io.Reader) (controlapi.SnapshotInfo, error) {
	c.restoreStep.Lock()
	defer c.restoreStep.Unlock()
	return c.etcd.Stage(ctx, snapshot)
}

// Hold implements controlapi.Restore.
func (c *control) Hold(_ context.Context, r controlapi.RestoreRequest) error {
	c.restoreStep.Lock()
	defer c.restoreStep.Unlock()
	if r.ID == "" {
		return fmt.Errorf("%w: the restore has no ID", controlapi.ErrInvalid)
	}
	if err := c.etcd.Hold(r.ID); err != nil {
		return err
	}
	if state, _ := c.now(); state != controlapi.StateHeld {
		c.fail(errHeld)
	}
	return nil
}

// Replace implements controlapi.Restore.
func (c *control) Replace(_ context.Context, r controlapi.RestoreRequest) error {
	c.restoreStep.Lock()
	defer c.restoreStep.Unlock()
	// The file of a hold exists before the process that wrote it has stopped etcd.
	if state, _ := c.now(); state != controlapi.StateHeld {
		return fmt.Errorf("%w: etcd is not held", controlapi.ErrRefused)
	}
	return c.etcd.Replace(r.ID)
}

// Revert implements controlapi.Restore.
func (c *control) Revert(_ context.Context, r controlapi.RestoreRequest) error {
	c.restoreStep.Lock()
	defer c.restoreStep.Unlock()
	restored, err := c.etcd.Restored()
	if err != nil {
		return err
	}
	if state, _ := c.now(); state != controlapi.StateHeld && restored == r.ID && r.ID != "" {
		return fmt.Errorf("%w: etcd is not held", controlapi.ErrRefused)
	}
	return c.etcd.Revert(r.ID)
}

// Release implements controlapi.Restore.
func (c *control) Release(_ context.Context, r controlapi.ReleaseRequest) error {
	c.restoreStep.Lock()
	defer c.restoreStep.Unlock()
	if err := c.etcd.Release(r.ID, r.Join); err != nil {
		return err
	}
	c.released.Send()
	return nil
}
