//go:build !kubernetes_before_1_37

package apiserver

import (
	"fmt"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
)

// create makes the configuration of the built-in APIs. Since 1.37, the proxy of services
// reads endpoint slices from an informer.
func (b *base) create(o options.CompletedOptions, resolver webhook.ServiceResolver, initializers []admission.PluginInitializer) (*controlplaneapiserver.Config, []admission.PluginInitializer, error) {
	slices, err := proxy.NewEndpointSliceIndexerGetter(b.informers.Discovery().V1().EndpointSlices())
	if err != nil {
		return nil, nil, fmt.Errorf("index endpoint slices: %w", err)
	}
	return controlplaneapiserver.CreateConfig(o.CompletedOptions, b.config, b.informers, slices, b.storageFactory, resolver, initializers)
}
