package kube

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
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
