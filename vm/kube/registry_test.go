package kube

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestTheRegistryIsAnnouncedAndWithdrawn(t *testing.T) {
	c := &Client{set: fake.NewClientset()}
	for _, address := range []string{"localhost:5001", "localhost:5001", "localhost:5002"} {
		if err := c.AnnounceRegistry(t.Context(), address); err != nil {
			t.Fatal(err)
		}
		found, err := c.set.CoreV1().ConfigMaps("kube-public").Get(t.Context(), "local-registry-hosting", metav1.GetOptions{})
		if err != nil || !strings.Contains(found.Data["localRegistryHosting.v1"], "host: "+address+"\n") {
			t.Errorf("%s: %v, %v", address, found.Data, err)
		}
	}
	for range 2 {
		if err := c.WithdrawRegistry(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.set.CoreV1().ConfigMaps("kube-public").Get(t.Context(), "local-registry-hosting", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("after the withdrawal: %v", err)
	}
}

func TestAnAnnouncementOfSomebodyElseStays(t *testing.T) {
	c := &Client{set: fake.NewClientset(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "local-registry-hosting", Namespace: "kube-public"},
		Data:       map[string]string{"localRegistryHosting.v1": "host: localhost:5005\n"},
	})}
	if err := c.AnnounceRegistry(t.Context(), "localhost:5001"); err != nil {
		t.Fatal(err)
	}
	if err := c.WithdrawRegistry(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := c.set.CoreV1().ConfigMaps("kube-public").Get(t.Context(), "local-registry-hosting", metav1.GetOptions{})
	if err != nil || found.Data["localRegistryHosting.v1"] != "host: localhost:5005\n" {
		t.Errorf("%v, %v", found, err)
	}
}
