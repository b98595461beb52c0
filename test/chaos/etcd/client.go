package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

const (
	keys      = 4
	where     = "default"
	label     = "chaos"
	opTimeout = 3 * time.Second
	opPause   = 50 * time.Millisecond
)

func keyName(i int) string { return fmt.Sprintf("key-%d", i) }

// clients creates the keys and starts n clients and one watcher for each member.
func (a *arena) clients(ctx context.Context, n int, h *history) (*sync.WaitGroup, error) {
	var sets []*kubernetes.Clientset
	for i := range members {
		c, err := a.client(i)
		if err != nil {
			return nil, err
		}
		sets = append(sets, c)
	}
	for i := range keys {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: keyName(i), Labels: map[string]string{label: "yes"}}, Data: map[string]string{"value": ""}}
		if _, err := sets[0].CoreV1().ConfigMaps(where).Create(ctx, object, metav1.CreateOptions{}); err != nil {
			return nil, fmt.Errorf("create the keys: %w", err)
		}
	}
	list, err := sets[0].CoreV1().ConfigMaps(where).List(ctx, metav1.ListOptions{LabelSelector: label})
	if err != nil {
		return nil, fmt.Errorf("list the keys: %w", err)
	}
	var all sync.WaitGroup
	for i := range n {
		c := &client{number: i, api: sets[i%members], history: h}
		all.Go(func() { c.run(ctx) })
	}
	for i, set := range sets {
		w := h.watcher(i, list.ResourceVersion)
		all.Go(func() { w.run(ctx, set) })
	}
	return &all, nil
}

type client struct {
	number  int
	api     kubernetes.Interface
	history *history
}

func (c *client) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		key := rand.IntN(keys) //nolint:gosec // which key, not a secret
		if rand.IntN(2) == 0 { //nolint:gosec // see above
			c.read(ctx, key)
		} else {
			c.write(ctx, key, fmt.Sprintf("%d-%d", c.number, n))
		}
		_ = pause(ctx, opPause)
	}
}

func (c *client) read(ctx context.Context, key int) {
	attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), opTimeout)
	defer cancel()
	began := c.history.now()
	m, err := c.api.CoreV1().ConfigMaps(where).Get(attempt, keyName(key), metav1.GetOptions{})
	if err == nil { // a read that failed says nothing
		c.history.read(c.number, key, m.Data["value"], began)
	}
}

func (c *client) write(ctx context.Context, key int, value string) {
	attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), opTimeout)
	defer cancel()
	began := c.history.now()
	patch := fmt.Appendf(nil, `{"data":{"value":%q}}`, value)
	m, err := c.api.CoreV1().ConfigMaps(where).Patch(attempt, keyName(key), types.MergePatchType, patch, metav1.PatchOptions{})
	if utilnet.IsConnectionRefused(err) {
		return // it never left
	}
	if err != nil {
		c.history.unknown(c.number, key, value, began)
		return
	}
	version, err := strconv.ParseInt(m.ResourceVersion, 10, 64)
	if err != nil {
		version = 0
	}
	c.history.wrote(c.number, key, value, version, began)
}

// run watches through one member, and again from the last version when the watch
// ends.
func (w *watcher) run(ctx context.Context, api kubernetes.Interface) {
	for ctx.Err() == nil {
		from := strconv.FormatInt(w.last, 10)
		stream, err := api.CoreV1().ConfigMaps(where).Watch(ctx, metav1.ListOptions{LabelSelector: label, ResourceVersion: from, AllowWatchBookmarks: true})
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			w.expired++
			return
		}
		if err == nil {
			w.follow(stream)
		}
		_ = pause(ctx, 200*time.Millisecond)
	}
}

func (w *watcher) follow(stream watch.Interface) {
	defer stream.Stop()
	for event := range stream.ResultChan() {
		m, ok := event.Object.(*corev1.ConfigMap)
		if !ok {
			return // an error: start the watch again
		}
		version, err := strconv.ParseInt(m.ResourceVersion, 10, 64)
		if err != nil {
			return
		}
		if event.Type == watch.Bookmark {
			w.bookmark(version)
			continue
		}
		w.saw(m.Name, m.Data["value"], version)
	}
}

// readAll reads every key through every member after the faults.
func (a *arena) readAll(ctx context.Context) (map[string][]string, error) {
	values := map[string][]string{}
	for i := range members {
		c, err := a.client(i)
		if err != nil {
			return nil, err
		}
		for k := range keys {
			attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
			m, err := c.CoreV1().ConfigMaps(where).Get(attempt, keyName(k), metav1.GetOptions{})
			cancel()
			if err != nil {
				return nil, fmt.Errorf("read %s through member %d: %w", keyName(k), i+1, err)
			}
			values[keyName(k)] = append(values[keyName(k)], m.Data["value"])
		}
	}
	return values, nil
}
