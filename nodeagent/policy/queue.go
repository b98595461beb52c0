package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/network"
)

const (
	// readyPoll is how often to check whether the engine has all policies.
	readyPoll = 100 * time.Millisecond
	// syncRest is the minimum time between two updates of the rules, and resync the
	// maximum, in case another program changed them.
	syncRest = time.Second
	resync   = time.Hour
	// headerBytes is how much of a packet is needed for its addresses and ports: the
	// longest headers of IPv4 and TCP.
	headerBytes = 128
	// waiting is how many packets may wait for their verdict; more are dropped.
	waiting = 1024
	// verdictLimit is how long the kernel may take to accept a verdict.
	verdictLimit = 100 * time.Millisecond
)

// ask enforces with rules that send packets to the queue.
func (e *Engine) ask(ctx context.Context, decide expr.Any) error {
	// The rules come first: without a reader they drop what they would queue.
	if err := e.start(ctx, decide); err != nil {
		return err
	}
	failed, stop, err := e.read(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := e.tell(""); err != nil {
		return err
	}
	return e.keep(ctx, decide, failed)
}

// refuse is for kernels without a queue: it drops what would be queued.
func (e *Engine) refuse(ctx context.Context) error {
	if err := e.start(ctx, refusal()); err != nil {
		return err
	}
	err := e.tell("NetworkPolicies cannot be enforced, so connections that one may apply to are refused: the kernel has neither nft_queue nor xt_NFQUEUE.")
	if err != nil {
		return err
	}
	return e.keep(ctx, refusal(), nil)
}

// start sets the first rules once the engine has all policies.
func (e *Engine) start(ctx context.Context, decide expr.Any) error {
	err := wait.PollUntilContextCancel(ctx, readyPoll, true, func(context.Context) (bool, error) {
		return e.engine.Ready(), nil
	})
	if err != nil {
		return fmt.Errorf("wait for the policies: %w", err)
	}
	return e.sync(ctx, decide)
}

// keep updates the rules when policies change. It removes them when ctx ends, but not
// when the reader fails: then everything is dropped until there is another reader.
func (e *Engine) keep(ctx context.Context, decide expr.Any, failed <-chan error) error {
	next := resync
	for {
		select {
		case <-ctx.Done():
			return remove()
		case err := <-failed:
			return err
		case <-e.changed:
		case <-time.After(next):
		}
		next = resync
		if err := e.sync(ctx, decide); err != nil {
			klog.FromContext(ctx).Error(err, "Cannot update the rules, retrying")
			next = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(syncRest):
		}
	}
}

func (e *Engine) sync(ctx context.Context, decide expr.Any) error {
	addresses, all, err := e.engine.GetManagedIPs(ctx)
	if err != nil {
		return fmt.Errorf("list the addresses that policies apply to: %w", err)
	}
	return ruleset{addresses: addresses, all: all, decide: decide}.apply()
}

// read decides about the packets in the queue until stop is called or it fails.
func (e *Engine) read(ctx context.Context) (failed <-chan error, stop func(), err error) {
	q, err := nfqueue.Open(&nfqueue.Config{
		NfQueue: queue, Copymode: nfqueue.NfQnlCopyPacket, MaxPacketLen: headerBytes, MaxQueueLen: waiting,
		// Do not segment large packets: only their headers matter.
		Flags:        nfqueue.NfQaCfgFlagGSO,
		WriteTimeout: verdictLimit,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("open the queue: %w", err)
	}
	failure := make(chan error, 1)
	err = q.RegisterWithErrorFunc(context.WithoutCancel(ctx), func(packet nfqueue.Attribute) int {
		e.answer(ctx, q, packet)
		return 0
	}, func(err error) int {
		var temporary interface{ Temporary() bool }
		// ENOBUFS: the socket's buffer is full; dropped packets are sent again.
		// ENOENT: a verdict on a packet that no longer exists, as when its interface
		// was removed.
		if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOENT) || errors.As(err, &temporary) && temporary.Temporary() {
			return 0
		}
		failure <- fmt.Errorf("read the queue: %w", err)
		return 1
	})
	if err != nil {
		_ = q.Close()
		return nil, nil, fmt.Errorf("read the queue: %w", err)
	}
	return failure, func() { _ = q.Close() }, nil
}

// answer sends the verdict on one packet.
func (e *Engine) answer(ctx context.Context, q *nfqueue.Nfqueue, packet nfqueue.Attribute) {
	if packet.PacketID == nil {
		return
	}
	verdict := nfqueue.NfDrop
	if packet.Payload != nil && e.allows(ctx, *packet.Payload) {
		verdict = nfqueue.NfAccept
	}
	if err := q.SetVerdict(*packet.PacketID, verdict); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot send the verdict on a packet", "id", *packet.PacketID)
	}
}

// allows reports whether the engine permits a packet. A malformed packet is denied:
// pods can send anything, including packets that make the library's parser panic.
func (e *Engine) allows(ctx context.Context, headers []byte) (allowed bool) {
	defer func() {
		if cause := recover(); cause != nil {
			klog.FromContext(ctx).V(2).Info("A malformed packet is dropped", "cause", cause)
			allowed = false
		}
	}()
	packet, err := network.ParsePacket(headers)
	if err != nil {
		klog.FromContext(ctx).V(2).Info("A malformed packet is dropped", "cause", err)
		return false
	}
	if allowed, err = e.engine.EvaluatePacket(ctx, &packet); err != nil {
		klog.FromContext(ctx).Error(err, "A packet is dropped")
		return false
	}
	return allowed
}
