// Package rootca keeps the authority by which pods verify the API server, in a ConfigMap of each
// namespace, that of this cluster when the cluster begins with the database of another one. The
// controller for these ConfigMaps does that too, but pods that start before it read the other
// one, and many programs read it only once. So it is done in etcd before the API is served.
package rootca

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/skiff-dev/skiff/controlplane/pki"
)

const (
	// prefix is where the API server stores ConfigMaps, by namespace and name.
	prefix = "/registry/configmaps/"
	// name is that of the ConfigMaps, and key what they have the authority under
	// (RootCACertConfigMapName of k8s.io/kubernetes' root-ca-cert-publisher).
	name = "kube-root-ca.crt"
	key  = "ca.crt"
)

// Replace makes authority, a bundle in PEM, that of all namespaces unless the one that is there
// has a certificate in common with it, as while it is replaced in a running cluster. It returns
// in how many namespaces it did so. It can be repeated, and several control planes may do it at
// once.
func Replace(ctx context.Context, client clientv3.KV, authority []byte) (int, error) {
	got, err := client.Get(ctx, prefix+metav1.NamespaceSystem+"/"+name)
	if err != nil {
		return 0, fmt.Errorf("read the authority for pods: %w", err)
	}
	if len(got.Kvs) == 0 {
		return 0, nil
	}
	first, err := decode(got.Kvs[0].Value)
	if err != nil || !foreign(first, authority) {
		return 0, err
	}
	all, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return 0, fmt.Errorf("list the authorities for pods: %w", err)
	}
	replaced := 0
	// That of the system's namespace is the last, because it shows that this is complete.
	last := string(got.Kvs[0].Key)
	for _, kv := range all.Kvs {
		path := string(kv.Key)
		if path == last || !bytes.HasSuffix(kv.Key, []byte("/"+name)) {
			continue
		}
		if err := replace(ctx, client, path, authority); err != nil {
			return replaced, err
		}
		replaced++
	}
	return replaced + 1, replace(ctx, client, last, authority)
}

// foreign reports whether a ConfigMap has no certificate of authority.
func foreign(object *corev1.ConfigMap, authority []byte) bool {
	own := pki.Split(authority)
	return !slices.ContainsFunc(pki.Split([]byte(object.Data[key])), func(there []byte) bool {
		return slices.ContainsFunc(own, func(here []byte) bool { return bytes.Equal(here, there) })
	})
}

// replace writes the authority into a ConfigMap, unless that was changed meanwhile: then another
// control plane has done it.
func replace(ctx context.Context, client clientv3.KV, path string, authority []byte) error {
	got, err := client.Get(ctx, path)
	if err != nil || len(got.Kvs) == 0 {
		return err
	}
	object, err := decode(got.Kvs[0].Value)
	if err != nil {
		return err
	}
	object.Data = map[string]string{key: string(authority)}
	content, err := encode(object)
	if err != nil {
		return err
	}
	_, err = client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(path), "=", got.Kvs[0].ModRevision)).
		Then(clientv3.OpPut(path, string(content))).Commit()
	if err != nil {
		return fmt.Errorf("replace the authority for pods at %s: %w", path, err)
	}
	return nil
}

func decode(content []byte) (*corev1.ConfigMap, error) {
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(content, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("decode an authority for pods: %w", err)
	}
	found, ok := object.(*corev1.ConfigMap)
	if !ok {
		return nil, fmt.Errorf("decode an authority for pods: it is a %T", object)
	}
	return found, nil
}

// encode returns what the API server stores.
func encode(object *corev1.ConfigMap) ([]byte, error) {
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	content, err := runtime.Encode(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), object)
	if err != nil {
		return nil, fmt.Errorf("encode an authority for pods: %w", err)
	}
	return content, nil
}
