package kube

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Where tools such as Tilt, Skaffold and ctlptl look for a registry on the host
// (KEP-1755).
const (
	registryConfigMap = "local-registry-hosting"
	registryKey       = "localRegistryHosting.v1"
	registryHelp      = "https://github.com/skiff-dev/skiff/blob/main/docs/guide/tasks.md#images"
)

// The label of objects that Skiff writes.
const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBySkiff = "skiff"
)

// AnnounceRegistry tells tools that images can be pushed to address, on the host,
// and pulled by the same name. An announcement that somebody else wrote stays.
func (c *Client) AnnounceRegistry(ctx context.Context, address string) error {
	hosting, err := yaml.Marshal(map[string]string{"host": address, "help": registryHelp})
	if err != nil {
		return err
	}
	all := c.set.CoreV1().ConfigMaps(metav1.NamespacePublic)
	wanted := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: registryConfigMap, Namespace: metav1.NamespacePublic, Labels: map[string]string{labelManagedBy: managedBySkiff}},
		Data:       map[string]string{registryKey: string(hosting)},
	}
	current, err := all.Get(ctx, registryConfigMap, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = all.Create(ctx, wanted, metav1.CreateOptions{})
	case err == nil && current.Labels[labelManagedBy] == managedBySkiff && !maps.Equal(current.Data, wanted.Data):
		current.Data = wanted.Data
		_, err = all.Update(ctx, current, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("announce the registry: %w", err)
	}
	return nil
}

// WithdrawRegistry removes what AnnounceRegistry wrote.
func (c *Client) WithdrawRegistry(ctx context.Context) error {
	all := c.set.CoreV1().ConfigMaps(metav1.NamespacePublic)
	current, err := all.Get(ctx, registryConfigMap, metav1.GetOptions{})
	if err == nil && current.Labels[labelManagedBy] == managedBySkiff {
		err = all.Delete(ctx, registryConfigMap, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &current.UID}})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("withdraw the registry: %w", err)
	}
	return nil
}
