//go:build kubernetes_before_1_37

package apiserver

import (
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
)

// create makes the configuration of the built-in APIs.
func (b *base) create(o options.CompletedOptions, resolver webhook.ServiceResolver, initializers []admission.PluginInitializer) (*controlplaneapiserver.Config, []admission.PluginInitializer, error) {
	return controlplaneapiserver.CreateConfig(o.CompletedOptions, b.config, b.informers, b.storageFactory, resolver, initializers)
}
