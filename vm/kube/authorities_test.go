package kube

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestAuthoritiesAreWrittenWhereTheyAreAskedFor(t *testing.T) {
	asking := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "asks", Namespace: "a", Labels: map[string]string{authoritiesLabel: "true"}},
		Data:       map[string]string{"own": "stays"},
	}
	frozen := asking.DeepCopy()
	frozen.Name, frozen.Immutable = "immutable", new(bool)
	*frozen.Immutable = true
	set := fake.NewClientset(asking, frozen, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "a"}})
	for _, o := range []struct{ name, want string }{{"asks", "first"}, {"immutable", ""}} {
		current, err := set.CoreV1().ConfigMaps("a").Get(t.Context(), o.name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		first := "first"
		if err := writeAuthorities(t.Context(), set, current, &first); err != nil {
			t.Fatal(err)
		}
		found, err := set.CoreV1().ConfigMaps("a").Get(t.Context(), o.name, metav1.GetOptions{})
		if err != nil || found.Data[authoritiesKey] != o.want || found.Data["own"] != "stays" {
			t.Errorf("%s: %v, %v", o.name, found.Data, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	kept := make(chan error, 1)
	go func() { kept <- KeepAuthorities(ctx, set, "second") }()
	later := asking.DeepCopy()
	later.Name = "later"
	for created := false; ; time.Sleep(5 * time.Millisecond) { // the fake watch shows only what comes after it
		if !created {
			_, err := set.CoreV1().ConfigMaps("a").Create(t.Context(), later, metav1.CreateOptions{})
			created = err == nil
		}
		found, err := set.CoreV1().ConfigMaps("a").Get(t.Context(), "later", metav1.GetOptions{})
		if err == nil && found.Data[authoritiesKey] == "second" {
			break
		}
		if err := set.CoreV1().ConfigMaps("a").Delete(t.Context(), "later", metav1.DeleteOptions{}); err == nil {
			created = false
		}
	}
	cancel()
	if err := <-kept; err != nil {
		t.Error(err)
	}
	if err := RemoveAuthorities(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"asks", "later", "other"} {
		found, err := set.CoreV1().ConfigMaps("a").Get(t.Context(), name, metav1.GetOptions{})
		if _, exists := found.Data[authoritiesKey]; err != nil || exists {
			t.Errorf("%s: %v, %v", name, found.Data, err)
		}
	}
}

func TestAConfigMapThatCannotBeWrittenStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asking := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "refused", Namespace: "a", Labels: map[string]string{authoritiesLabel: "true"}}}
		other := asking.DeepCopy()
		other.Name = "other"
		set := fake.NewClientset(asking, other)
		watched := watch.NewFake()
		set.PrependWatchReactor("configmaps", clienttesting.DefaultWatchReactor(watched, nil))
		set.PrependReactor("patch", "configmaps", func(action clienttesting.Action) (bool, runtime.Object, error) {
			refused := action.(clienttesting.PatchAction).GetName() == "refused"
			return refused, nil, errors.New("refused")
		})
		kept := make(chan error, 1)
		go func() { kept <- KeepAuthorities(t.Context(), set, "content") }()
		watched.Add(asking)
		watched.Add(other)
		if err := <-kept; err == nil || !strings.Contains(err.Error(), "a/refused") {
			t.Errorf("kept: %v", err)
		}
		found, err := set.CoreV1().ConfigMaps("a").Get(t.Context(), "other", metav1.GetOptions{})
		if err != nil || found.Data[authoritiesKey] != "content" {
			t.Errorf("the other one: %v, %v", found.Data, err)
		}
		// Both have the key now, as after a change by an earlier daemon.
		for _, name := range []string{"refused", "other"} {
			c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "a", Labels: asking.Labels}, Data: map[string]string{authoritiesKey: "content"}}
			if _, err := set.CoreV1().ConfigMaps("a").Update(t.Context(), c, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := RemoveAuthorities(t.Context(), set); err == nil || !strings.Contains(err.Error(), "a/refused") {
			t.Errorf("removed: %v", err)
		}
		found, err = set.CoreV1().ConfigMaps("a").Get(t.Context(), "other", metav1.GetOptions{})
		if _, exists := found.Data[authoritiesKey]; err != nil || exists {
			t.Errorf("the other one after the removal: %v, %v", found.Data, err)
		}
	})
}
