package kube

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// maxLogLine bounds a line of a log, in bytes. A longer line is cut and ends with the
// number of omitted bytes.
const maxLogLine = 16 << 10

// maxStreams bounds the number of logs that are read at the same time.
const maxStreams = 50

// logs follows the logs of pods as they come and go.
func (c *Client) logs(ctx context.Context, need feed.Logs, emit func(any)) {
	f := &logFollower{client: c, need: need, emit: emit, started: map[string]bool{}}
	defer f.reading.Wait()
	if !need.Previous {
		c.onChange(ctx, func(limited context.Context) { _ = f.start(ctx, limited) }, logPodsOf(c.name, need)...)
		return
	}
	for f.start(ctx, ctx) != nil {
		if pause.For(ctx, maxBackoff) != nil {
			return
		}
	}
	f.reading.Wait()
	if ctx.Err() == nil {
		emit(feed.Lines{Done: true, Freshness: freshness(nil, time.Now())})
	}
}

// logFollower reads all logs of one need.
type logFollower struct {
	client  *Client
	need    feed.Logs
	emit    func(any)
	started map[string]bool // by stream ID
	reading sync.WaitGroup
}

// start starts to read the logs that are new. limited bounds the requests for the
// pods, ctx the reading.
func (f *logFollower) start(ctx, limited context.Context) error {
	pods, err := f.client.logPods(limited, f.need)
	if err != nil {
		f.emit(feed.Lines{Freshness: freshness(err, time.Now())})
		return err
	}
	several := len(pods) > 1 || len(f.need.Pods) > 1
	for i := range pods {
		for _, s := range streamsOf(&pods[i], f.need) {
			if f.started[s.id] || len(f.started) >= maxStreams {
				continue
			}
			f.started[s.id] = true
			if several || f.need.Labels != "" {
				s.source = s.pod + "/" + s.container
			} else if f.need.Container == "" && len(pods[i].Spec.Containers)+len(pods[i].Spec.InitContainers) > 1 {
				s.source = s.container
			}
			f.reading.Go(func() { f.read(ctx, s) })
		}
	}
	if len(f.started) == 0 {
		f.emit(feed.Lines{Freshness: freshness(nil, time.Now())})
	}
	return nil
}

// logPodsOf selects the pods to watch for changes.
func logPodsOf(cluster string, need feed.Logs) []feed.Objects {
	if need.Labels != "" {
		return []feed.Objects{{Cluster: cluster, Resource: object.Pods, Namespaces: []string{need.Namespace}, Labels: need.Labels}}
	}
	var pods []feed.Objects
	for _, p := range need.Pods[:min(len(need.Pods), maxStreams)] {
		pods = append(pods, single(object.Ref{Cluster: cluster, Resource: object.Pods, Namespace: p.Namespace, Name: p.Name}))
	}
	return pods
}

func (c *Client) logPods(ctx context.Context, need feed.Logs) ([]corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	if need.Labels != "" {
		list, err := c.typed.CoreV1().Pods(need.Namespace).List(ctx, metav1.ListOptions{LabelSelector: need.Labels, ResourceVersion: "0"})
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	}
	var found []corev1.Pod
	for _, name := range need.Pods {
		pod, err := c.typed.CoreV1().Pods(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{ResourceVersion: "0"})
		if apierrors.IsNotFound(err) && len(need.Pods) > 1 {
			continue // follow the other pods
		}
		if err != nil {
			return nil, err
		}
		found = append(found, *pod)
	}
	return found, nil
}

type logStream struct{ id, pod, namespace, container, source string }

// streamsOf returns the logs of a pod that can be read now. A container that
// waits to be restarted has the log of its last run.
func streamsOf(p *corev1.Pod, need feed.Logs) []logStream {
	var found []logStream
	statuses := append(append([]corev1.ContainerStatus(nil), p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...)
	for _, s := range statuses {
		hasLog := s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil
		if need.Previous {
			hasLog = s.RestartCount > 0
		}
		if !hasLog || need.Container != "" && s.Name != need.Container {
			continue
		}
		found = append(found, logStream{
			id: strings.Join([]string{string(p.UID), s.Name, s.ContainerID}, "/"), pod: p.Name, namespace: p.Namespace, container: s.Name,
		})
	}
	return found
}

// read reads a log to its end and reconnects as necessary.
func (f *logFollower) read(ctx context.Context, s logStream) {
	var last time.Time // of the last line
	wait := minBackoff
	for tries := 0; ctx.Err() == nil && tries < 5; tries++ {
		options := &corev1.PodLogOptions{Container: s.container, Follow: !f.need.Previous, Timestamps: true, Previous: f.need.Previous}
		if last.IsZero() {
			tail := int64(max(f.need.Tail, 1))
			options.TailLines = &tail
		} else {
			from := metav1.NewTime(last)
			options.SinceTime = &from
		}
		body, err := f.client.typed.CoreV1().Pods(s.namespace).GetLogs(s.pod, options).Stream(ctx)
		if err != nil {
			if ctx.Err() == nil {
				f.emit(feed.Lines{Freshness: freshness(err, time.Now())})
			}
			_ = pause.For(ctx, wait)
			wait = min(2*wait, maxBackoff)
			continue
		}
		f.emit(feed.Lines{Freshness: freshness(nil, time.Now())})
		err = readLog(body, s.source, last, func(l feed.Line) {
			last = l.At
			f.emit(feed.Lines{Lines: []feed.Line{l}, Freshness: freshness(nil, time.Now())})
		})
		_ = body.Close()
		if err == nil {
			return // the container has terminated
		}
		tries = 0
		_ = pause.For(ctx, wait)
	}
}

// readLog splits a log with timestamps into lines. It skips lines that are not
// newer than last, which have been read before.
func readLog(in io.Reader, source string, last time.Time, each func(feed.Line)) error {
	reader := bufio.NewReaderSize(in, maxLogLine)
	for {
		content, more, err := reader.ReadLine()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		text, omitted := string(content), 0
		for more && err == nil {
			content, more, err = reader.ReadLine()
			omitted += len(content)
		}
		if omitted > 0 {
			text += fmt.Sprintf(" … (%d more bytes)", omitted)
		}
		at, rest := splitTime(text)
		if !last.IsZero() && !at.After(last) {
			continue
		}
		each(feed.Line{Source: source, At: at, Text: rest})
	}
}

// splitTime separates a line from the timestamp that the kubelet puts before it.
func splitTime(text string) (time.Time, string) {
	stamp, rest, _ := strings.Cut(text, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return time.Time{}, text
	}
	return at, rest
}
