package kube

import (
	"bufio"
	"context"
	"io"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// maxLogLine bounds a line of a log, in bytes; the rest of the line is dropped.
const maxLogLine = 16 << 10

// maxStreams bounds the number of logs that are read at the same time.
const maxStreams = 50

// logs follows the logs of pods as they come and go.
func (c *Client) logs(ctx context.Context, need feed.Logs, emit func(any)) {
	var reading sync.WaitGroup
	defer reading.Wait()
	started := map[string]bool{} // by stream ID
	since := map[string]time.Time{}
	var mu sync.Mutex // guards since
	look := func(limited context.Context) error {
		pods, err := c.logPods(limited, need)
		if err != nil {
			emit(feed.Lines{Freshness: freshness(err, time.Now())})
			return err
		}
		several := len(pods) > 1 || len(need.Pods) > 1
		for i := range pods {
			for _, s := range streamsOf(&pods[i], need) {
				if started[s.id] || len(started) >= maxStreams {
					continue
				}
				started[s.id] = true
				if several || need.Labels != "" {
					s.source = s.pod + "/" + s.container
				} else if need.Container == "" && len(pods[i].Spec.Containers)+len(pods[i].Spec.InitContainers) > 1 {
					s.source = s.container
				}
				reading.Go(func() { c.logStream(ctx, need, s, &mu, since, emit) })
			}
		}
		if len(started) == 0 {
			emit(feed.Lines{Freshness: object.Freshness{State: object.Live, At: time.Now()}})
		}
		return nil
	}
	if !need.Previous {
		c.onChange(ctx, func(ctx context.Context) { _ = look(ctx) }, logPodsOf(c.name, need)...)
		return
	}
	for look(ctx) != nil {
		if pause.For(ctx, maxBackoff) != nil {
			return
		}
	}
	reading.Wait()
	if ctx.Err() == nil {
		emit(feed.Lines{Done: true, Freshness: object.Freshness{State: object.Live, At: time.Now()}})
	}
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

// logStream reads a log to its end and reconnects as necessary.
func (c *Client) logStream(ctx context.Context, need feed.Logs, s logStream, mu *sync.Mutex, since map[string]time.Time, emit func(any)) {
	wait := minBackoff
	for tries := 0; ctx.Err() == nil && tries < 5; tries++ {
		options := &corev1.PodLogOptions{Container: s.container, Follow: !need.Previous, Timestamps: true, Previous: need.Previous}
		mu.Lock()
		last := since[s.id]
		mu.Unlock()
		if last.IsZero() {
			tail := int64(max(need.Tail, 1))
			options.TailLines = &tail
		} else {
			from := metav1.NewTime(last)
			options.SinceTime = &from
		}
		body, err := c.typed.CoreV1().Pods(s.namespace).GetLogs(s.pod, options).Stream(ctx)
		if err != nil {
			if ctx.Err() == nil {
				emit(feed.Lines{Freshness: freshness(err, time.Now())})
			}
			_ = pause.For(ctx, wait)
			wait = min(2*wait, maxBackoff)
			continue
		}
		emit(feed.Lines{Freshness: object.Freshness{State: object.Live, At: time.Now()}})
		err = readLog(body, s.source, last, func(l feed.Line) {
			mu.Lock()
			since[s.id] = l.At
			mu.Unlock()
			emit(feed.Lines{Lines: []feed.Line{l}, Freshness: object.Freshness{State: object.Live, At: time.Now()}})
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
		text := string(content)
		for more && err == nil { // drop the rest of a long line
			_, more, err = reader.ReadLine()
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
