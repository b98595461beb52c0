package controllers

import (
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// clients makes each controller's clients; upstream's ControllerClientBuilder.
type clients struct {
	config func(name string) *rest.Config
}

// Config implements clientbuilder.ControllerClientBuilder.
func (c clients) Config(name string) (*rest.Config, error) {
	return rest.AddUserAgent(c.config(name), name), nil
}

// ConfigOrDie implements clientbuilder.ControllerClientBuilder; it never dies.
func (c clients) ConfigOrDie(name string) *rest.Config {
	return rest.AddUserAgent(c.config(name), name)
}

// Client implements clientbuilder.ControllerClientBuilder.
func (c clients) Client(name string) (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(c.ConfigOrDie(name))
}

// ClientOrDie implements clientbuilder.ControllerClientBuilder. It panics on a
// configuration that no client can be made of, which is a mistake in this code.
func (c clients) ClientOrDie(name string) kubernetes.Interface {
	return kubernetes.NewForConfigOrDie(c.ConfigOrDie(name))
}

// DiscoveryClient implements clientbuilder.ControllerClientBuilder.
func (c clients) DiscoveryClient(name string) (discovery.DiscoveryInterface, error) {
	return discovery.NewDiscoveryClientForConfig(c.ConfigOrDie(name))
}

// DiscoveryClientOrDie implements clientbuilder.ControllerClientBuilder; as
// ClientOrDie.
func (c clients) DiscoveryClientOrDie(name string) discovery.DiscoveryInterface {
	return discovery.NewDiscoveryClientForConfigOrDie(c.ConfigOrDie(name))
}
