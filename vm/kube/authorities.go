package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// A ConfigMap with this label gets the authorities of the host under this key, so that
// pods can mount it.
const (
	authoritiesLabel = "skiff.dev/inject-ca-bundle"
	authoritiesKey   = "ca-bundle.crt"
)

// retryAuthorities is how long KeepAuthorities continues after a failure.
const retryAuthorities = 10 * time.Second

var askForAuthorities = metav1.ListOptions{LabelSelector: authoritiesLabel + "=true"}

// KeepAuthorities writes authorities into all ConfigMaps that ask for them, also those
// that are made or changed later, until ctx or the watch of set ends. One that cannot
// be written stops no other; its error is returned a little later.
func KeepAuthorities(ctx context.Context, set kubernetes.Interface, authorities string) error {
	// Without a resource version it begins with those that exist.
	watch, err := set.CoreV1().ConfigMaps(metav1.NamespaceAll).Watch(ctx, askForAuthorities)
	if err != nil {
		return fmt.Errorf("watch ConfigMaps for authorities: %w", err)
	}
	defer watch.Stop()
	var failed error
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-retry:
			return failed
		case event, open := <-watch.ResultChan():
			if !open {
				return failed
			}
			asking, ok := event.Object.(*corev1.ConfigMap)
			if !ok {
				return fmt.Errorf("watch ConfigMaps for authorities: %w", apierrors.FromObject(event.Object))
			}
			if err := writeAuthorities(ctx, set, asking, &authorities); err != nil && failed == nil {
				failed, retry = err, time.After(retryAuthorities)
			}
		}
	}
}

// RemoveAuthorities removes the authorities from all ConfigMaps that ask for them.
func RemoveAuthorities(ctx context.Context, set kubernetes.Interface) error {
	list, err := set.CoreV1().ConfigMaps(metav1.NamespaceAll).List(ctx, askForAuthorities)
	if err != nil {
		return fmt.Errorf("list ConfigMaps for authorities: %w", err)
	}
	var failed []error
	for i := range list.Items {
		failed = append(failed, writeAuthorities(ctx, set, &list.Items[i], nil))
	}
	return errors.Join(failed...)
}

// writeAuthorities writes the authorities into a ConfigMap; nil removes them. One that
// was deleted meanwhile, or that nobody may change, needs nothing.
func writeAuthorities(ctx context.Context, set kubernetes.Interface, to *corev1.ConfigMap, authorities *string) error {
	current, exists := to.Data[authoritiesKey]
	if to.Labels[authoritiesLabel] != "true" || to.DeletionTimestamp != nil || to.Immutable != nil && *to.Immutable ||
		authorities == nil && !exists || authorities != nil && exists && current == *authorities {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]*string{authoritiesKey: authorities}})
	if err != nil {
		return err
	}
	_, err = set.CoreV1().ConfigMaps(to.Namespace).Patch(ctx, to.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write authorities into ConfigMap %s/%s: %w", to.Namespace, to.Name, err)
	}
	return nil
}
