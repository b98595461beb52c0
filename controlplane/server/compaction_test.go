package server_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// compaction lists half of the objects of a resource that the API server caches. The
// continue token must expire once etcd has discarded the revision that it names,
// although the cache still has it.
func (c *cluster) compaction(t *testing.T) {
	templates := c.client.CoreV1().PodTemplates("default")
	add := func(name string) {
		t.Helper()
		_, err := templates.Create(t.Context(), &v1.PodTemplate{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Template:   v1.PodTemplateSpec{Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "none"}}}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("one")
	add("two")
	part, err := templates.List(t.Context(), metav1.ListOptions{Limit: 1})
	if err != nil || part.Continue == "" {
		t.Fatalf("a list of one: token %q, %v", part.Continue, err)
	}
	add("three")
	if err := c.control().Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the continue token expires", func(ctx context.Context) error {
		_, err := templates.List(ctx, metav1.ListOptions{Limit: 1, Continue: part.Continue})
		switch {
		case err == nil:
			return errors.New("it is accepted")
		case !apierrors.IsResourceExpired(err):
			return fmt.Errorf("list with the token: %w", err)
		}
		return nil
	})
}
