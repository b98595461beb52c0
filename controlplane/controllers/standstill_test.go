package controllers

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func TestAStandstillIsRecentForAWhile(t *testing.T) {
	now := time.Now()
	after := func(d time.Duration) time.Time { return now.Add(d) }
	var s standstill
	if s.recent(now) {
		t.Error("a process that has just begun stood still")
	}
	for _, tt := range []struct {
		at   time.Duration
		want bool
	}{
		{5 * time.Second, false}, {10 * time.Second, false}, {24 * time.Second, false}, // a busy host
		{time.Hour, true}, {time.Hour + 5*time.Second, true}, {time.Hour + 14*time.Second, true}, {time.Hour + 16*time.Second, false},
		{2 * time.Hour, true},
	} {
		if got := s.recent(after(tt.at)); got != tt.want {
			t.Errorf("after %s: %v", tt.at, got)
		}
	}
}

func TestAProcessThatRunsHasNoStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var s standstill
		go s.run(ctx)
		time.Sleep(time.Hour)
		if s.recent(time.Now()) {
			t.Error("it stood still")
		}
	})
}

func TestNodesAreNotJudgedShortlyAfterAStandstill(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"Node","apiVersion":"v1","metadata":{"name":"worker-1"}}`))
	}))
	defer server.Close()
	var s standstill
	s.tick(time.Now().Add(-time.Minute))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}}
	for name, held := range map[string]bool{nodeController: true, "pod-garbage-collector": false} {
		client, err := kubernetes.NewForConfig(s.guard(name, &rest.Config{Host: server.URL}))
		if err != nil {
			t.Fatal(err)
		}
		asked = nil
		_, err = client.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
		if errors.Is(err, errStandstill) != held || (len(asked) == 0) != held {
			t.Errorf("%s: the status: %v, requests %v", name, err, asked)
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
		if _, err := client.CoreV1().Pods("shop").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); errors.Is(err, errStandstill) != held {
			t.Errorf("%s: the status of a pod: %v", name, err)
		}
		for what, ask := range map[string]func() error{
			"get": func() error {
				_, err := client.CoreV1().Nodes().Get(t.Context(), "worker-1", metav1.GetOptions{})
				return err
			},
			"update": func() error {
				_, err := client.CoreV1().Nodes().Update(t.Context(), node, metav1.UpdateOptions{})
				return err
			},
		} {
			if err := ask(); err != nil {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
	}
}
