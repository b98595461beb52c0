// Package proxy runs upstream's service proxy in nftables mode, so that every Service
// is reachable from the node and its pods.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	componentconfig "k8s.io/component-base/config/v1alpha1"
	"k8s.io/klog/v2"
	config "k8s.io/kube-proxy/config/v1alpha1"
	"k8s.io/kubernetes/cmd/kube-proxy/app"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/fields"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// minSync is the minimum time between two updates of the rules.
const minSync = 50 * time.Millisecond

// Proxy is one node's service proxy. A process can run it once: it registers
// metrics and handlers that are global.
type Proxy struct {
	Node nodeconfig.Node
	// Fields are the user's fields of the proxy's configuration.
	Fields   map[string]any
	Identity client.Identity
	// RunDir is where the proxy's own configuration is written.
	RunDir string
}

// Run proxies until ctx ends or the proxy fails.
func (p Proxy) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, klog.Background().WithName("proxy"))
	options, err := p.options()
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- options.Run(ctx) }()
	// Upstream's Run ignores its context once the proxy is running.
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		if err == nil {
			err = errors.New("it exited")
		}
		return fmt.Errorf("run the service proxy: %w", err)
	}
}

// Check returns an error if the proxy would not start with the user's fields.
func (p Proxy) Check() error {
	_, err := p.options()
	return err
}

// options writes the files that upstream reads, and loads them.
func (p Proxy) options() (*app.Options, error) {
	kubeconfig := filepath.Join(p.RunDir, "proxy.kubeconfig")
	if err := p.Identity.WriteKubeconfig(kubeconfig); err != nil {
		return nil, err
	}
	content, err := fields.Merge(configuration(p.Node, kubeconfig), p.Fields)
	if err != nil {
		return nil, fmt.Errorf("encode the service proxy's configuration: %w", err)
	}
	options := app.NewOptions()
	options.ConfigFile = filepath.Join(p.RunDir, "proxy.yaml")
	if err := client.WriteFile(options.ConfigFile, content, 0o600); err != nil {
		return nil, err
	}
	if err := options.Complete(pflag.NewFlagSet("", pflag.ContinueOnError)); err != nil {
		return nil, fmt.Errorf("read the service proxy's configuration: %w", err)
	}
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("the service proxy's configuration: %w", err)
	}
	return options, nil
}

// configuration returns all settings that differ from upstream's defaults.
func configuration(node nodeconfig.Node, kubeconfig string) *config.KubeProxyConfiguration {
	return &config.KubeProxyConfiguration{
		TypeMeta:         metav1.TypeMeta{APIVersion: config.SchemeGroupVersion.String(), Kind: "KubeProxyConfiguration"},
		ClientConnection: componentconfig.ClientConnectionConfiguration{Kubeconfig: kubeconfig},
		HostnameOverride: node.Name,
		// No socket is bound to it. It is the node's own address.
		BindAddress:        node.Network.Address.Addr().String(),
		HealthzBindAddress: "127.0.0.1:10256",
		MetricsBindAddress: "127.0.0.1:10249",
		Mode:               "nftables",
		NFTables: config.KubeProxyNFTablesConfiguration{
			// A service appears in two steps, itself and its endpoints. Upstream's
			// default puts a second between them; an update writes only changes.
			MinSyncPeriod: metav1.Duration{Duration: minSync},
		},
		DetectLocalMode:   "ClusterCIDR",
		ClusterCIDR:       nodeconfig.Joined(node.Kubernetes.PodCIDR, node.Kubernetes.PodCIDR6),
		NodePortAddresses: []string{"primary"},
		// Do not change the kernel's limits: package network sets them, and a sandbox
		// may not write some of them.
		Conntrack: config.KubeProxyConntrackConfiguration{
			MaxPerCore:            ptr.To[int32](0),
			Min:                   ptr.To[int32](0),
			TCPEstablishedTimeout: &metav1.Duration{},
			TCPCloseWaitTimeout:   &metav1.Duration{},
		},
	}
}
