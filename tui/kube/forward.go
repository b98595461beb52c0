package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream" //nolint:staticcheck // client-go's dialers still return its types
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// Forwarder holds the ports that are forwarded, for as long as its context.
// A forward outlives its pod: each connection goes to a pod that runs then.
type Forwarder struct {
	mu   sync.Mutex // guards what follows
	all  []*forward
	next int
	tell []*feed.Mailbox
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

// dialLimit is how long a new connection waits for a pod to run.
const dialLimit = 30 * time.Second

// Start forwards a port of 127.0.0.1, 0 for any free one, to a port of a pod,
// or of a pod behind a service or workload, until ctx ends or Stop is called.
// It returns the port of the host.
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

// Stop ends the forward called id.
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

// List are the forwards as they are now.
func (f *Forwarder) List() feed.ForwardList {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list feed.ForwardList
	for _, w := range f.all {
		list.All = append(list.All, w.shown())
	}
	return list
}

func (w *forward) shown() feed.Forwarded {
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

// Run tells of the list until ctx ends.
func (f *Forwarder) Run(ctx context.Context, emit func(any)) {
	box := feed.NewMailbox()
	f.mu.Lock()
	f.tell = append(f.tell, box)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.tell = slices.DeleteFunc(f.tell, func(b *feed.Mailbox) bool { return b == box })
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
	for _, box := range f.tell {
		box.Put(true)
	}
}

func (w *forward) serve(ctx context.Context, changed func()) {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		serving.Go(func() {
			defer func() { _ = conn.Close() }()
			release := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer release()
			w.count(1)
			changed()
			err := w.carry(ctx, conn)
			w.count(-1)
			if err != nil && ctx.Err() == nil {
				w.drop(Reason(err))
			}
			changed()
		})
	}
}

func (w *forward) count(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns += n
}

// drop forgets the connection to the pod.
func (w *forward) drop(problem string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
	w.problem = problem
}

// carry moves the bytes of one connection. While no pod runs it waits.
func (w *forward) carry(ctx context.Context, local net.Conn) error {
	limited, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	var data, failure httpstream.Stream
	for {
		var err error
		if data, failure, err = w.open(limited); err == nil {
			break
		}
		w.drop(Reason(err))
		if !pause(limited, time.Second) {
			return err
		}
	}
	defer func() { _ = data.Close() }()
	failed := make(chan error, 1)
	go func() {
		message, err := io.ReadAll(io.LimitReader(failure, 4096))
		if err == nil && len(message) > 0 {
			err = errors.New(line(string(message)))
		}
		failed <- err
	}()
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(local, data); done <- struct{}{} }()
	go func() { _, _ = io.Copy(data, local); _ = data.Close(); done <- struct{}{} }()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		if err != nil {
			return err
		}
		<-done
	case <-done:
	}
	return nil
}

// open begins a pair of streams to the pod (KEP-4006, and SPDY before it).
func (w *forward) open(ctx context.Context) (data, failure httpstream.Stream, err error) {
	conn, port, err := w.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	w.request++
	id := w.request
	w.mu.Unlock()
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(id))
	if failure, err = conn.CreateStream(headers); err != nil {
		return nil, nil, err
	}
	_ = failure.Close() // we write nothing to it
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	if data, err = conn.CreateStream(headers); err != nil {
		return nil, nil, err
	}
	return data, failure, nil
}

// connect returns the connection to the pod, making it if there is none.
func (w *forward) connect(ctx context.Context) (httpstream.Connection, int, error) {
	pod, port, err := w.target(ctx)
	if err != nil {
		return nil, 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil && w.pod == pod {
		select {
		case <-w.conn.CloseChan():
		default:
			return w.conn, port, nil
		}
	}
	url := w.client.typed.CoreV1().RESTClient().Post().Resource("pods").Namespace(w.ref.Namespace).Name(pod).SubResource("portforward").URL()
	roundTripper, upgrader, err := spdy.RoundTripperFor(w.client.config)
	if err != nil {
		return nil, 0, err
	}
	old := spdy.NewDialer(upgrader, &http.Client{Transport: roundTripper}, http.MethodPost, url)
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(url, w.client.config)
	if err != nil {
		return nil, 0, err
	}
	conn, _, err := portforward.NewFallbackDialer(tunnel, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}).Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, 0, err
	}
	w.conn, w.pod, w.problem = conn, pod, ""
	return conn, port, nil
}

// target is the pod that a connection made now goes to, and its port.
func (w *forward) target(ctx context.Context) (string, int, error) {
	pod, port, err := w.client.forwardTarget(ctx, w.ref, w.remote, w.known())
	if err != nil {
		return "", 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.labels = lasting(pod.Labels)
	if w.conn == nil {
		w.pod, w.problem = pod.Name, ""
	}
	return pod.Name, port, nil
}

func (w *forward) known() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.labels
}

// fleeting labels differ between a pod and the one that replaces it.
var fleeting = []string{
	"pod-template-hash", "controller-revision-hash", "pod-template-generation",
	"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
	"batch.kubernetes.io/controller-uid", "controller-uid", "batch.kubernetes.io/job-completion-index",
}

func lasting(labels map[string]string) map[string]string {
	kept := map[string]string{}
	for k, v := range labels {
		if !slices.Contains(fleeting, k) {
			kept[k] = v
		}
	}
	return kept
}

// portNumber reads "8080", or finds a container's port by its name.
func portNumber(p *corev1.Pod, port string) (int, error) {
	if n, err := strconv.Atoi(port); err == nil {
		if n < 1 || n > 65535 {
			return 0, fmt.Errorf("invalid port %d: use a number from 1 to 65535", n)
		}
		return n, nil
	}
	for _, container := range p.Spec.Containers {
		for _, known := range container.Ports {
			if strings.EqualFold(known.Name, port) {
				return int(known.ContainerPort), nil
			}
		}
	}
	return 0, fmt.Errorf("pod %s has no port named %q", p.Name, port)
}
