package controllers

import (
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// clients builds each controller's clients.
type clients struct {
	config func(name string) *rest.Config
}

// Config implements clientbuilder.ControllerClientBuilder.
func (c clients) Config(name string) (*rest.Config, error) {
	return rest.AddUserAgent(c.config(name), name), nil
}

// ConfigOrDie implements clientbuilder.ControllerClientBuilder. It never panics.
func (c clients) ConfigOrDie(name string) *rest.Config {
	return rest.AddUserAgent(c.config(name), name)
}

// Client implements clientbuilder.ControllerClientBuilder.
func (c clients) Client(name string) (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(c.ConfigOrDie(name))
}

// ClientOrDie implements clientbuilder.ControllerClientBuilder. It panics on an
// invalid configuration, which would be a bug here.
func (c clients) ClientOrDie(name string) kubernetes.Interface {
	return kubernetes.NewForConfigOrDie(c.ConfigOrDie(name))
}

// DiscoveryClient implements clientbuilder.ControllerClientBuilder.
func (c clients) DiscoveryClient(name string) (discovery.DiscoveryInterface, error) {
	return discovery.NewDiscoveryClientForConfig(c.ConfigOrDie(name))
}

// DiscoveryClientOrDie implements clientbuilder.ControllerClientBuilder. It panics as
// ClientOrDie does.
func (c clients) DiscoveryClientOrDie(name string) discovery.DiscoveryInterface {
	return discovery.NewDiscoveryClientForConfigOrDie(c.ConfigOrDie(name))
}
