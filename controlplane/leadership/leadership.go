// Package leadership keeps one control plane at a time in charge: everything
// that must run once in a cluster runs while this node holds one lease.
package leadership

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/skiff-dev/skiff/internal/names"
)

// The lease.
const (
	Namespace = metav1.NamespaceSystem
	Lease     = names.ControlPlaneLease
)

// accessPoll is how often a new cluster is asked whether the lease can be used
// by now.
const accessPoll = 50 * time.Millisecond

// ErrLost ends Run when another node holds the lease.
var ErrLost = errors.New("another control plane is in charge now")

// Settings are who strives for the lease and what then runs.
type Settings struct {
	Client *rest.Config
	// Name is the node's. A node that comes back takes its own lease up again
	// at once, so no two processes may share a name.
	Name string
	// Sole is true while no other control plane exists that could take over;
	// the lease is then renewed rarely, for a quiet laptop, and outlasts minutes
	// in which a starved or sleeping machine cannot renew it: nobody waits for it.
	// It is asked all the time, and the lease follows.
	Sole func() bool
	// Emulated says that the machines are: the lease lasts longer then, since etcd
	// takes longer to elect a leader.
	Emulated bool
	// Lead runs while the lease is held, and returns soon after its context ends.
	Lead func(context.Context) error
}

type timing struct{ lease, renew, retry time.Duration }

// timing makes a takeover last five seconds at most where there is somebody to
// take over, five times that on emulated machines. The holder keeps trying for as
// long as it may: the election of a new etcd leader must not cost the lease.
func (s Settings) timing(sole bool) timing {
	if sole {
		return timing{lease: 10 * time.Minute, renew: 8 * time.Minute, retry: time.Minute}
	}
	if s.Emulated {
		return timing{lease: 20 * time.Second, renew: 17 * time.Second, retry: 2 * time.Second}
	}
	return timing{lease: 4 * time.Second, renew: 3500 * time.Millisecond, retry: 500 * time.Millisecond}
}

// solePoll is how often Sole is asked.
const solePoll = time.Second

// Run waits for the lease and leads until ctx ends, which gives the lease back
// and returns nil. It returns ErrLost when the lease is lost, and Lead's error
// when that returns on its own; the process should then end, since upstream's
// controllers cannot be started twice.
func Run(ctx context.Context, s Settings) error {
	client, err := kubernetes.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("make the lease's client: %w", err)
	}
	if err := waitForAccess(ctx, client); err != nil {
		return nil //nolint:nilerr // only the end of ctx ends the wait
	}
	leading, stop := context.WithCancel(ctx)
	defer stop()
	h := &holder{settings: s, client: client, led: make(chan struct{})}
	var held bool
	for {
		var again bool
		if held, again, err = h.elect(ctx, leading); err != nil {
			return err
		}
		if !again {
			break
		}
	}
	if !h.started.Load() {
		return nil // ctx ended before this node's turn
	}
	// The lease is given back only when Lead has ended, so that no other node
	// starts while this one still works.
	stop()
	<-h.led
	if held {
		release(client, s.Name)
	}
	return outcome(ctx, h.err)
}

// holder strives for the lease, one election after another, and leads once.
type holder struct {
	settings Settings
	client   kubernetes.Interface
	started  atomic.Bool
	led      chan struct{} // closed when Lead has returned and err is final
	err      error
}

// elect takes part in one election and holds the lease as long as it suits.
// again says that another election with other times should follow at once; held
// that the lease is still this node's.
func (h *holder) elect(ctx, leading context.Context) (held, again bool, err error) {
	sole := h.settings.Sole()
	electing, stop := context.WithCancel(ctx)
	defer stop()
	acquired := make(chan struct{})
	t := h.settings.timing(sole)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: Lease,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: Namespace, Name: Lease},
			Client:     h.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: h.settings.Name},
		},
		LeaseDuration: t.lease, RenewDeadline: t.renew, RetryPeriod: t.retry,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {
				close(acquired)
				h.lead(leading)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return false, false, fmt.Errorf("set up the leader election: %w", err)
	}
	var changed atomic.Bool
	go func() {
		defer stop()
		changed.Store(h.watch(electing, sole, acquired))
	}()
	elector.Run(electing)
	lost := electing.Err() == nil
	stop()
	held = elector.IsLeader() && !lost
	return held, changed.Load() && !lost && ctx.Err() == nil, nil
}

// lead calls Lead, the first time.
func (h *holder) lead(ctx context.Context) {
	if h.started.CompareAndSwap(false, true) {
		h.err = h.settings.Lead(ctx)
		close(h.led)
	}
}

// watch returns when an election should end: with true when its times do not
// suit any more, with false when Lead has returned or leads without the lease.
func (h *holder) watch(ctx context.Context, sole bool, acquired <-chan struct{}) (changed bool) {
	poll := time.NewTicker(solePoll)
	defer poll.Stop()
	// A node that led before must have the lease again before others may.
	var overdue <-chan time.Time
	if h.started.Load() {
		overdue = time.After(h.settings.timing(false).renew)
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-h.led:
			return false
		case <-acquired:
			acquired, overdue = nil, nil
		case <-overdue:
			return false
		case <-poll.C:
			if h.settings.Sole() != sole {
				return true
			}
		}
	}
}

func outcome(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
		return nil
	case err != nil:
		return fmt.Errorf("lead the cluster: %w", err)
	default:
		return ErrLost
	}
}

// releaseTimeout bounds giving the lease back; a server that is too busy for it
// just lets the lease run out.
const releaseTimeout = 2 * time.Second

func release(client kubernetes.Interface, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	leases := client.CoordinationV1().Leases(Namespace)
	lease, err := leases.Get(ctx, Lease, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != name {
		return
	}
	second := int32(1)
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = new(string), &second
	_, _ = leases.Update(ctx, lease, metav1.UpdateOptions{})
}

// waitForAccess waits until a new cluster has the lease's namespace and the role
// that lets this node use the lease, since the election itself asks rarely.
func waitForAccess(ctx context.Context, client kubernetes.Interface) error {
	for {
		_, err := client.CoreV1().Namespaces().Get(ctx, Namespace, metav1.GetOptions{})
		if err == nil {
			_, err = client.CoordinationV1().Leases(Namespace).Get(ctx, Lease, metav1.GetOptions{})
			if err == nil || apierrors.IsNotFound(err) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(accessPoll):
		}
	}
}
