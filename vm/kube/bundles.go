package kube

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// bundlePaths are the objects whose fields caBundle say how the API server verifies others.
var bundlePaths = []string{
	"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
	"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
	"/apis/apiregistration.k8s.io/v1/apiservices",
	"/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}

// ReplaceBundles replaces the bundles of webhooks and of aggregated APIs by what replace
// makes of them. Objects without a change are not written.
func (c *Client) ReplaceBundles(ctx context.Context, replace func(bundle []byte) []byte) error {
	for _, path := range bundlePaths {
		content, err := c.set.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(ctx)
		if err != nil {
			return fmt.Errorf("list the objects with bundles at %s: %w", path, err)
		}
		var list struct {
			Items []map[string]any `json:"items"`
		}
		if err := json.Unmarshal(content, &list); err != nil {
			return fmt.Errorf("list the objects with bundles at %s: %w", path, err)
		}
		for _, item := range list.Items {
			// Nearly all objects are the API server's own and have no bundle.
			name, _, _ := unstructured.NestedString(item, "metadata", "name")
			if !replaceIn(item, replace) {
				continue
			}
			object := path + "/" + name
			err := retry.RetryOnConflict(retry.DefaultRetry, func() error { return c.replaceBundles(ctx, object, replace) })
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("replace the bundles of %s: %w", object, err)
			}
		}
	}
	return nil
}

func (c *Client) replaceBundles(ctx context.Context, path string, replace func([]byte) []byte) error {
	content, err := c.set.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(ctx)
	if err != nil {
		return err
	}
	var object any
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		return err
	}
	if !replaceIn(object, replace) {
		return nil
	}
	if content, err = json.Marshal(object); err != nil {
		return err
	}
	return c.set.CoreV1().RESTClient().Put().AbsPath(path).SetHeader("Content-Type", "application/json").Body(content).Do(ctx).Error()
}

// replaceIn replaces all bundles in a value, and reports whether any is another one now.
func replaceIn(value any, replace func([]byte) []byte) bool {
	changed := false
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			changed = replaceIn(item, replace) || changed
		}
	case map[string]any:
		for key, field := range v {
			text, ok := field.(string)
			bundle, err := base64.StdEncoding.DecodeString(text)
			if key != "caBundle" || !ok || err != nil {
				changed = replaceIn(field, replace) || changed
				continue
			}
			if replaced := replace(bundle); !bytes.Equal(replaced, bundle) {
				v[key], changed = base64.StdEncoding.EncodeToString(replaced), true
			}
		}
	}
	return changed
}

// SetClientAuthorities writes by which authorities aggregated API servers verify clients
// and the API server's proxy. The API server itself only adds authorities to that.
func (c *Client) SetClientAuthorities(ctx context.Context, clients, proxies []byte) error {
	patch, err := json.Marshal(map[string]any{"data": map[string]string{
		"client-ca-file": string(clients), "requestheader-client-ca-file": string(proxies),
	}})
	if err != nil {
		return err
	}
	_, err = c.set.CoreV1().ConfigMaps(metav1.NamespaceSystem).Patch(ctx, "extension-apiserver-authentication", types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("write the authorities for aggregated API servers: %w", err)
	}
	return nil
}

// ClientAuthorities returns by which authorities aggregated API servers verify clients.
func (c *Client) ClientAuthorities(ctx context.Context) ([]byte, error) {
	object, err := c.set.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the authorities for aggregated API servers: %w", err)
	}
	return []byte(object.Data["client-ca-file"]), nil
}

// RenewTokens removes tokens that are old from secrets of service accounts. The control plane
// makes new ones.
func (c *Client) RenewTokens(ctx context.Context, old func(token string) bool) error {
	list, err := c.set.CoreV1().Secrets("").List(ctx, metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeServiceAccountToken)})
	if err != nil {
		return fmt.Errorf("list the tokens of service accounts: %w", err)
	}
	for _, secret := range list.Items {
		if token := string(secret.Data[corev1.ServiceAccountTokenKey]); token == "" || !old(token) {
			continue
		}
		_, err := c.set.CoreV1().Secrets(secret.Namespace).Patch(ctx, secret.Name, types.MergePatchType, []byte(`{"data":{"token":null}}`), metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("renew the token in secret %s/%s: %w", secret.Namespace, secret.Name, err)
		}
	}
	return nil
}
