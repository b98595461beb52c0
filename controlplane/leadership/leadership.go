// Package leadership elects one control plane as the leader. What must run only once
// in a cluster runs while this node holds the lease.
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

// accessPoll is how often a new cluster is checked for access to the lease.
const accessPoll = 50 * time.Millisecond

// ErrLost ends Run when another node has taken the lease.
var ErrLost = errors.New("another control plane is the leader now")

// Settings of a candidate.
type Settings struct {
	Client *rest.Config
	// Name is the node's. A node that restarts takes its own lease again at once, so
	// no two processes may have the same name.
	Name string
	// Alone reports whether there is no other control plane that could take over.
	// The lease is then renewed rarely, to keep a laptop idle, and outlasts minutes
	// in which a starved or suspended machine cannot renew it. It is called
	// regularly, and the length of the lease follows its answer.
	Alone func() bool
	// Emulated is true for emulated machines. The lease is longer then, because
	// etcd takes longer to elect a leader.
	Emulated bool
	// Lead runs while the lease is held. It must return soon after its context ends.
	Lead func(context.Context) error
}

type timing struct{ lease, renew, retry time.Duration }

// timing limits a takeover to five seconds if there is another control plane, and
// to five times that on emulated machines. The holder tries to renew for almost the
// whole lease, so that it keeps the lease while etcd elects a leader.
func (s Settings) timing(alone bool) timing {
	if alone {
		return timing{lease: 10 * time.Minute, renew: 8 * time.Minute, retry: time.Minute}
	}
	if s.Emulated {
		return timing{lease: 20 * time.Second, renew: 17 * time.Second, retry: 2 * time.Second}
	}
	return timing{lease: 4 * time.Second, renew: 3500 * time.Millisecond, retry: 500 * time.Millisecond}
}

// alonePoll is how often Alone is called.
const alonePoll = time.Second

// Run waits for the lease and leads until ctx ends; it then releases the lease and
// returns nil. It returns ErrLost when the lease is lost, and Lead's error when
// that returns by itself. The process must then end, because upstream's controllers
// cannot be started twice.
func Run(ctx context.Context, s Settings) error {
	client, err := kubernetes.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("create the client of the lease: %w", err)
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
	// Release the lease only after Lead has returned, so that no other node starts
	// while this one is still working.
	stop()
	<-h.led
	if held {
		release(client, s.Name)
	}
	return outcome(ctx, h.err)
}

// holder runs one election after another, and leads once.
type holder struct {
	settings Settings
	client   kubernetes.Interface
	started  atomic.Bool
	led      chan struct{} // closed when Lead has returned and err is final
	err      error
}

// elect runs one election and holds the lease until it is lost, ctx ends or its
// length must change. again is true if another election with other times should
// follow at once, held if this node still has the lease.
func (h *holder) elect(ctx, leading context.Context) (held, again bool, err error) {
	alone := h.settings.Alone()
	electing, stop := context.WithCancel(ctx)
	defer stop()
	acquired := make(chan struct{})
	t := h.settings.timing(alone)
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
		changed.Store(h.watch(electing, alone, acquired))
	}()
	elector.Run(electing)
	lost := electing.Err() == nil
	stop()
	held = elector.IsLeader() && !lost
	return held, changed.Load() && !lost && ctx.Err() == nil, nil
}

// lead calls Lead the first time it is called.
func (h *holder) lead(ctx context.Context) {
	if h.started.CompareAndSwap(false, true) {
		h.err = h.settings.Lead(ctx)
		close(h.led)
	}
}

// watch returns when an election should end: true if its times must change, false
// if Lead has returned or is running without the lease.
func (h *holder) watch(ctx context.Context, alone bool, acquired <-chan struct{}) (changed bool) {
	poll := time.NewTicker(alonePoll)
	defer poll.Stop()
	// A node that is leading must have the lease again before others can get it.
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
			if h.settings.Alone() != alone {
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

// releaseTimeout bounds the release of the lease. If the server is too busy, the
// lease expires instead.
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

// waitForAccess waits until a new cluster has the namespace of the lease and the
// role that grants access to it. The election itself retries less often.
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
