package kube

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/httpstream" //nolint:staticcheck // client-go's dialers still return its types

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// Forwarder holds the active port-forwards. A forward outlives its pod: every
// new connection goes to a pod that is running at that time.
type Forwarder struct {
	mu          sync.Mutex // guards what follows
	all         []*forward
	next        int
	subscribers []*feed.Mailbox
}

// forward is one listening port.
type forward struct {
	id, remote string
	ref        object.Ref
	client     *Client
	listener   net.Listener
	stop       context.CancelFunc
	since      time.Time

	mu      sync.Mutex // guards what follows
	labels  map[string]string
	pod     string
	conn    httpstream.Connection
	problem string
	conns   int64
	request int
}

// dialLimit is how long a new connection waits for a running pod.
const dialLimit = 30 * time.Second

// Start forwards a port of 127.0.0.1, 0 for any free one, to a port of a pod or
// of a pod of a service or workload, until ctx ends or Stop is called. It
// returns the local port.
func (f *Forwarder) Start(ctx context.Context, c *Client, ref object.Ref, local int, remote string) (int, error) {
	if remote == "" {
		return 0, errors.New("no port given")
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(local)))
	if err != nil {
		return 0, fmt.Errorf("listen on 127.0.0.1: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	w := &forward{ref: ref, remote: remote, client: c, listener: listener, stop: stop, since: time.Now()}
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if _, _, err := w.target(limited); err != nil {
		stop()
		return 0, errors.Join(err, listener.Close())
	}
	f.mu.Lock()
	f.next++
	w.id = strconv.Itoa(f.next)
	f.all = append(f.all, w)
	f.mu.Unlock()
	go func() {
		<-ctx.Done()
		_ = listener.Close()
		w.drop("")
		f.remove(w)
	}()
	go w.serve(ctx, f.changed)
	f.changed()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// Stop ends the forward with the given ID.
func (f *Forwarder) Stop(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.all {
		if w.id == id {
			w.stop()
		}
	}
}

func (f *Forwarder) remove(w *forward) {
	f.mu.Lock()
	f.all = slices.DeleteFunc(f.all, func(other *forward) bool { return other == w })
	f.mu.Unlock()
	f.changed()
}

// List returns the current forwards.
func (f *Forwarder) List() feed.ForwardList {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list feed.ForwardList
	for _, w := range f.all {
		list.All = append(list.All, w.status())
	}
	return list
}

func (w *forward) status() feed.Forwarded {
	w.mu.Lock()
	defer w.mu.Unlock()
	state := "waiting for a pod"
	switch {
	case w.conn != nil:
		state = "connected"
	case w.pod != "" && w.problem == "":
		state = "ready"
	}
	return feed.Forwarded{
		ID: w.id, Ref: w.ref, Local: w.listener.Addr().(*net.TCPAddr).Port, Remote: w.remote,
		Pod: w.pod, State: state, Problem: w.problem, Conns: w.conns, Since: w.since,
	}
}

// Run delivers the list, again whenever it changes, until ctx ends.
func (f *Forwarder) Run(ctx context.Context, emit func(any)) {
	box := feed.NewMailbox()
	f.mu.Lock()
	f.subscribers = append(f.subscribers, box)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.subscribers = slices.DeleteFunc(f.subscribers, func(b *feed.Mailbox) bool { return b == box })
		f.mu.Unlock()
	}()
	emit(f.List())
	for {
		if _, ok := box.Take(ctx); !ok {
			return
		}
		emit(f.List())
	}
}

func (f *Forwarder) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, box := range f.subscribers {
		box.Put(true)
	}
}
