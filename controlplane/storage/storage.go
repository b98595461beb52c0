// Package storage stores the API server's objects in the embedded etcd by function
// calls. Upstream opens a gRPC connection for each of some seventy resources, whose
// goroutines and buffers at both ends would be in this process.
package storage

import (
	"fmt"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	etcdkubernetes "go.etcd.io/etcd/client/v3/kubernetes"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/cacher"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
)

// Getter is upstream's getter, except that it calls etcd in process.
type Getter struct {
	generic.RESTOptionsGetter
	// NewClient returns a new client of the embedded etcd, which the caller closes. Each
	// resource has its own, so that its watches do not share a stream.
	NewClient func() *clientv3.Client
	// CompactRevision returns the revision up to which the embedded etcd is compacted.
	// Caches drop what is older, so that lists of it fail as those from etcd do.
	CompactRevision func() int64
}

// compactRevision implements etcd3.Compactor for an etcd that compacts itself.
type compactRevision func() int64

// CompactRevision returns the revision up to which etcd is compacted.
func (c compactRevision) CompactRevision() int64 { return c() }

// GetRESTOptions implements generic.RESTOptionsGetter.
func (g Getter) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	o, err := g.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil {
		return o, err
	}
	if Cached(resource) {
		o.Decorator = g.cached
	} else {
		o.Decorator = g.direct
	}
	return o, nil
}

// Cached reports whether the API server caches a resource. As in upstream, all are
// cached but events, which are many and rarely read.
func Cached(resource schema.GroupResource) bool {
	return resource.Resource != "events" || (resource.Group != "" && resource.Group != "events.k8s.io")
}

// direct implements generic.StorageDecorator without a cache.
func (g Getter) direct(
	c *storagebackend.ConfigForResource, prefix string, _ func(runtime.Object) (string, error),
	newFunc, newListFunc func() runtime.Object, _ storage.AttrFunc, _ storage.IndexerFuncs, _ *cache.Indexers,
) (storage.Interface, factory.DestroyFunc, error) {
	return g.open(c, prefix, newFunc, newListFunc)
}

// cached implements generic.StorageDecorator with upstream's watch cache.
func (g Getter) cached(
	c *storagebackend.ConfigForResource, prefix string, key func(runtime.Object) (string, error),
	newFunc, newListFunc func() runtime.Object, attributes storage.AttrFunc, triggers storage.IndexerFuncs, indexers *cache.Indexers,
) (storage.Interface, factory.DestroyFunc, error) {
	store, closeStore, err := g.open(c, prefix, newFunc, newListFunc)
	if err != nil {
		return nil, nil, err
	}
	watchCache, err := cacher.NewCacherFromConfig(cacher.Config{
		Storage: store, Versioner: storage.APIObjectVersioner{}, Codec: c.Codec,
		GroupResource: c.GroupResource, EventsHistoryWindow: c.EventsHistoryWindow,
		ResourcePrefix: prefix, KeyFunc: key, NewFunc: newFunc, NewListFunc: newListFunc,
		GetAttrsFunc: attributes, IndexerFuncs: triggers, Indexers: indexers,
	})
	if err != nil {
		closeStore()
		return nil, nil, fmt.Errorf("cache %s: %w", c.GroupResource, err)
	}
	delegator := cacher.NewCacheDelegator(watchCache, store)
	return delegator, sync.OnceFunc(func() {
		delegator.Stop()
		watchCache.Stop()
		closeStore()
	}), nil
}

func (g Getter) open(c *storagebackend.ConfigForResource, prefix string, newFunc, newListFunc func() runtime.Object) (storage.Interface, factory.DestroyFunc, error) {
	client := &etcdkubernetes.Client{Client: g.NewClient()}
	client.Kubernetes = client
	client.KV = etcd3.NewETCDLatencyTracker(client.KV)

	transformer := c.Transformer
	if transformer == nil {
		transformer = identity.NewEncryptCheckTransformer()
	}
	versioner := storage.APIObjectVersioner{}
	decoder := etcd3.NewDefaultDecoder(c.Codec, versioner)
	deleteCorrupt := utilfeature.DefaultFeatureGate.Enabled(features.AllowUnsafeMalformedObjectDeletion)
	if deleteCorrupt {
		transformer = etcd3.WithCorruptObjErrorHandlingTransformer(transformer)
		decoder = etcd3.WithCorruptObjErrorHandlingDecoder(decoder)
	}
	store, err := etcd3.New(client, compactRevision(g.CompactRevision), c.Codec, newFunc, newListFunc, c.Prefix, prefix, c.GroupResource, transformer, c.LeaseManagerConfig, decoder, versioner)
	if err != nil {
		client.Close()
		return nil, nil, fmt.Errorf("store %s: %w", c.GroupResource, err)
	}
	closeStore := sync.OnceFunc(func() {
		store.Close()
		client.Close()
	})
	if deleteCorrupt {
		return etcd3.NewStoreWithUnsafeCorruptObjectDeletion(store, c.GroupResource), closeStore, nil
	}
	return store, closeStore, nil
}
