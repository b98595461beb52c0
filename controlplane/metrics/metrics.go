// Package metrics serves the resource metrics API, metrics.k8s.io, which "kubectl top"
// and HorizontalPodAutoscalers read. It is upstream's metrics-server without a pod: the
// API server collects the kubelets' figures and keeps the last two of each container
// and node in memory.
package metrics

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/rest"
	kubelet "k8s.io/kubernetes/pkg/kubelet/client"
	"sigs.k8s.io/metrics-server/pkg/api"
	"sigs.k8s.io/metrics-server/pkg/scraper"
	"sigs.k8s.io/metrics-server/pkg/scraper/client"
	"sigs.k8s.io/metrics-server/pkg/scraper/client/resource"
	"sigs.k8s.io/metrics-server/pkg/storage"

	"github.com/skiff-dev/skiff/internal/names"
)

const (
	// resolution is how often the kubelets are asked. They measure containers as often.
	resolution = 10 * time.Second
	// scrapeLimit bounds one request to a kubelet.
	scrapeLimit = 8 * time.Second
)

// Settings configure the API.
type Settings struct {
	// Kubelet is how the API server connects to kubelets.
	Kubelet kubelet.KubeletClientConfig
	// Informers are the API server's own, of which those of nodes and pods are used.
	Informers informers.SharedInformerFactory
}

// Collector collects the figures that the API serves.
type Collector struct {
	store   storage.Storage
	scraper scraper.Scraper
}

// Install adds the API to a server that is not running yet. It has figures once the
// collector has run for two periods.
func Install(server *genericapiserver.GenericAPIServer, s Settings) (*Collector, error) {
	kubelets, err := resource.NewForConfig(clientConfig(s.Kubelet))
	if err != nil {
		return nil, fmt.Errorf("make the client of kubelets: %w", err)
	}
	core := s.Informers.Core().V1()
	nodes := core.Nodes().Lister()
	// Simulated nodes have no kubelet.
	real, err := labels.NewRequirement(names.LabelSimulated, selection.NotIn, []string{names.ValueSimulated})
	if err != nil {
		return nil, fmt.Errorf("select the nodes with kubelets: %w", err)
	}
	c := &Collector{
		store:   storage.NewStorage(resolution),
		scraper: scraper.NewScraper(nodes, kubelets, scrapeLimit, []labels.Requirement{*real}),
	}
	if err := api.Install(c.store, running{core.Pods().Lister()}, nodes, server, nil); err != nil {
		return nil, fmt.Errorf("install the resource metrics API: %w", err)
	}
	return c, nil
}

// clientConfig returns the configuration of metrics-server's client.
func clientConfig(k kubelet.KubeletClientConfig) *client.KubeletClientConfig {
	c := &client.KubeletClientConfig{
		Client: rest.Config{TLSClientConfig: rest.TLSClientConfig{
			CertFile: k.TLSClientConfig.CertFile, KeyFile: k.TLSClientConfig.KeyFile, CAFile: k.TLSClientConfig.CAFile,
		}},
		Scheme: "https", DefaultPort: int(k.Port), UseNodeStatusPort: true, //nolint:gosec // a port
	}
	for _, t := range k.PreferredAddressTypes {
		c.AddressTypePriority = append(c.AddressTypePriority, corev1.NodeAddressType(t))
	}
	return c
}

// Run collects figures until ctx ends.
func (c *Collector) Run(ctx context.Context) {
	ticker := time.NewTicker(resolution)
	defer ticker.Stop()
	for {
		c.store.Store(c.scraper.Scrape(ctx))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
