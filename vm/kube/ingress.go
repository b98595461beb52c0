package kube

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TLSSecret returns the certificate and the key in a secret of type
// kubernetes.io/tls, in PEM.
func (c *Client) TLSSecret(ctx context.Context, name types.NamespacedName) (certificate, key []byte, err error) {
	secret, err := c.set.CoreV1().Secrets(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("get secret %s: %w", name, err)
	}
	return secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey], nil
}

// SetIngressAddresses replaces the addresses in the status of an Ingress. An Ingress
// that does not exist needs none.
func (c *Client) SetIngressAddresses(ctx context.Context, name types.NamespacedName, addresses []networkingv1.IngressLoadBalancerIngress) error {
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": addresses}}})
	if err != nil {
		return fmt.Errorf("encode the status of ingress %s: %w", name, err)
	}
	_, err = c.set.NetworkingV1().Ingresses(name.Namespace).Patch(ctx, name.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write the status of ingress %s: %w", name, err)
	}
	return nil
}
