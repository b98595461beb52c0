package kube

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream" //nolint:staticcheck // client-go's dialers still return its types
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/skiff-dev/skiff/internal/pause"
)

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
			err := w.proxy(ctx, conn)
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

// drop closes the connection to the pod and records why.
func (w *forward) drop(problem string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
	w.problem = problem
}

// proxy copies the data of one local connection. It waits while no pod is
// running.
func (w *forward) proxy(ctx context.Context, local net.Conn) error {
	limited, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	var data, failure httpstream.Stream
	for {
		var err error
		if data, failure, err = w.open(limited); err == nil {
			break
		}
		w.drop(Reason(err))
		if pause.For(limited, time.Second) != nil {
			return err
		}
	}
	defer func() { _ = data.Close() }()
	failed := make(chan error, 1)
	go func() {
		message, err := io.ReadAll(io.LimitReader(failure, 4096))
		if err == nil && len(message) > 0 {
			err = errors.New(oneLine(string(message)))
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

// open creates a pair of streams to the pod (KEP-4006, with SPDY as fallback).
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
	_ = failure.Close() // this stream is only read
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	if data, err = conn.CreateStream(headers); err != nil {
		return nil, nil, err
	}
	return data, failure, nil
}

// connect returns the connection to the pod and establishes it if necessary.
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

// target returns the pod and port for a new connection.
func (w *forward) target(ctx context.Context) (string, int, error) {
	pod, port, err := w.client.forwardTarget(ctx, w.ref, w.remote, w.podLabels())
	if err != nil {
		return "", 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.labels = stableLabels(pod.Labels)
	if w.conn == nil {
		w.pod, w.problem = pod.Name, ""
	}
	return pod.Name, port, nil
}

func (w *forward) podLabels() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.labels
}
