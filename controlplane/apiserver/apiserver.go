// Package apiserver serves the Kubernetes API: upstream's server chain, configured
// in code for a cluster on a laptop. The other parts of the process reach it in
// memory, everybody else over TLS 1.3.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/registry/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	encryptionconfigcontroller "k8s.io/apiserver/pkg/server/options/encryptionconfig/controller"
	"k8s.io/apiserver/pkg/util/webhook"
	aggregatorapiserver "k8s.io/kube-aggregator/pkg/apiserver"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/capabilities"
	kubecontrolplane "k8s.io/kubernetes/pkg/controlplane"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
	"k8s.io/kubernetes/pkg/controlplane/reconcilers"
	kubeapiserveradmission "k8s.io/kubernetes/pkg/kubeapiserver/admission"
	kubelet "k8s.io/kubernetes/pkg/kubelet/client"

	"github.com/skiff-dev/skiff/controlplane/metrics"
	"github.com/skiff-dev/skiff/controlplane/storage"
	"github.com/skiff-dev/skiff/controlplane/transport"
)

// servicePort is the port of the kubernetes service.
const servicePort = 443

// Server is an API server that is built but not running.
type Server struct {
	aggregator *aggregatorapiserver.APIAggregator
}

// New builds the server and connects memory's clients to it. Their requests may
// block until Run is called.
func New(ctx context.Context, s Settings, memory *transport.Server) (*Server, error) {
	config, err := configure(ctx, s, memory)
	if err != nil {
		return nil, err
	}
	// The embedded documents describe only what is on by default.
	s.BuildOpenAPI = s.BuildOpenAPI || len(s.Components.FeatureGates)+len(s.Components.RuntimeConfig) > 0
	if !s.BuildOpenAPI {
		slimOpenAPI(config)
	}
	chain, err := config.Complete()
	if err != nil {
		return nil, fmt.Errorf("complete the API server's configuration: %w", err)
	}
	aggregator, err := app.CreateServerChain(chain)
	if err != nil {
		return nil, fmt.Errorf("build the API server: %w", err)
	}
	kube, err := delegate(aggregator)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(installMetrics(aggregator, kube, config), refreshKubeletClient(aggregator, config, s)); err != nil {
		return nil, err
	}
	if !s.BuildOpenAPI {
		if err := installOpenAPI(kube); err != nil {
			return nil, err
		}
	}
	memory.Serve(aggregator.GenericAPIServer.Handler)
	return &Server{aggregator: aggregator}, nil
}

// connectionBuffer is the size of a buffer of a connection in memory, in bytes.
const connectionBuffer = 64 << 10

// Check returns an error if New would fail because of the user's settings. A server may
// use the same address meanwhile.
func Check(ctx context.Context, s Settings) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("check the API server's settings: %w", err)
	}
	defer func() { _ = listener.Close() }()
	s.Listener = listener
	// Since 1.37, clients of etcd wait until they are connected. This etcd answers nothing.
	etcd, connections := grpc.NewServer(), bufconn.Listen(connectionBuffer)
	defer etcd.Stop()
	go func() { _ = etcd.Serve(connections) }()
	s.DialEtcd = connections.DialContext
	_, err = configure(ctx, s, transport.NewServer())
	return err
}

// configure returns the configuration of the server chain.
func configure(ctx context.Context, s Settings, memory *transport.Server) (*app.Config, error) {
	if err := setTolerations(); err != nil {
		return nil, fmt.Errorf("configure admission: %w", err)
	}
	encryptionconfigcontroller.EncryptionConfigFileChangePollDuration = keyringPoll
	controlplaneapiserver.IdentityLeaseRenewIntervalPeriod = identityRenewal
	o, flags := Options(s)
	if err := s.applyComponents(o, flags); err != nil {
		return nil, fmt.Errorf("the API server's settings: %w", err)
	}
	if err := o.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return nil, fmt.Errorf("set feature gates: %w", err)
	}
	completed, err := complete(ctx, s, o)
	if err != nil {
		return nil, err
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return nil, fmt.Errorf("validate the API server's options: %w", errs[0])
	}
	return newConfig(completed, s, memory)
}

// complete completes the options. Unless the user's settings have other keys, those of
// service accounts can be replaced while the server runs.
func complete(ctx context.Context, s Settings, o *options.ServerRunOptions) (options.CompletedOptions, error) {
	accounts := o.Authentication.ServiceAccounts
	var keys *tokenKeys
	if len(accounts.KeyFiles) == 0 && o.ServiceAccountSigningEndpoint == "" && len(accounts.Issuers) > 0 {
		var err error
		if keys, err = openTokenKeys(ctx, o.ServiceAccountSigningKeyFile, filepath.Join(s.PKIDir, "sa.pub"), accounts.Issuers[0]); err != nil {
			return options.CompletedOptions{}, err
		}
		accounts.ExternalPublicKeysGetter = keys
	}
	completed, err := o.Complete(ctx)
	if err != nil {
		return options.CompletedOptions{}, fmt.Errorf("complete the API server's options: %w", err)
	}
	if keys != nil {
		completed.ServiceAccountIssuer = keys
	}
	return completed, nil
}

// kubeletPeriod is how often the client of kubelets is used at least. It reads its file of
// authorities again after five minutes, but only for plain requests, not for those of exec.
const kubeletPeriod = 30 * time.Second

// refreshKubeletClient adds a hook that lets the client of kubelets follow its file of
// authorities: client-go shares it between users of equal settings.
func refreshKubeletClient(a *aggregatorapiserver.APIAggregator, c *app.Config, s Settings) error {
	transport, err := kubelet.MakeTransport(&c.Options.KubeletConfig)
	if err != nil {
		return fmt.Errorf("make the client of kubelets: %w", err)
	}
	client := &http.Client{Transport: transport, Timeout: kubeletPeriod / 2}
	own := fmt.Sprintf("https://%s/healthz", net.JoinHostPort(s.Address.String(), strconv.FormatUint(uint64(c.Options.KubeletConfig.Port), 10)))
	return a.GenericAPIServer.AddPostStartHook("skiff/kubelet-client", func(hook genericapiserver.PostStartHookContext) error {
		go wait.UntilWithContext(hook, func(ctx context.Context) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, own, nil)
			if err != nil {
				return
			}
			if response, err := client.Do(request); err == nil { // the node's kubelet may not run
				_ = response.Body.Close()
			}
		}, kubeletPeriod)
		return nil
	})
}

// installMetrics adds the resource metrics API to the server of built-in types, behind
// the aggregator, so that an APIService can give the group to another server.
func installMetrics(a *aggregatorapiserver.APIAggregator, kube *genericapiserver.GenericAPIServer, c *app.Config) error {
	collector, err := metrics.Install(kube, metrics.Settings{
		Kubelet: c.Options.KubeletConfig, Informers: c.KubeAPIs.ControlPlane.VersionedInformers,
	})
	if err != nil {
		return err
	}
	return a.GenericAPIServer.AddPostStartHook("skiff/resource-metrics", func(hook genericapiserver.PostStartHookContext) error {
		go collector.Run(hook)
		return nil
	})
}

// Run serves until ctx ends and all requests in flight have ended.
func (s *Server) Run(ctx context.Context) error {
	prepared, err := s.aggregator.PrepareRun()
	if err != nil {
		return fmt.Errorf("prepare the API server: %w", err)
	}
	if err := prepared.Run(ctx); err != nil {
		return fmt.Errorf("serve the Kubernetes API: %w", err)
	}
	return nil
}

// newConfig configures the three servers of the chain.
func newConfig(o options.CompletedOptions, s Settings, memory *transport.Server) (*app.Config, error) {
	b, err := newBase(o, s, memory)
	if err != nil {
		return nil, err
	}
	capabilities.Setup(o.AllowPrivileged, o.MaxConnectionBytesPerSec)
	initializers, err := (&kubeapiserveradmission.Config{}).New()
	if err != nil {
		return nil, fmt.Errorf("configure admission: %w", err)
	}
	resolver, err := b.serviceResolver(o)
	if err != nil {
		return nil, err
	}
	kube, admission, err := b.create(o, resolver, initializers)
	if err != nil {
		return nil, fmt.Errorf("configure the Kubernetes API: %w", err)
	}
	webhooks := webhook.NewDefaultAuthenticationInfoResolverWrapper(kube.ProxyTransport, nil, b.config.LoopbackClientConfig, b.config.TracerProvider)
	extensions, err := controlplaneapiserver.CreateAPIExtensionsConfig(*b.config, b.informers, admission, o.CompletedOptions, o.MasterCount, resolver, webhooks)
	if err != nil {
		return nil, fmt.Errorf("configure custom resources: %w", err)
	}
	aggregator, err := controlplaneapiserver.CreateAggregatorConfig(*b.config, o.CompletedOptions, b.informers, resolver, kube.ProxyTransport, kube.Extra.PeerProxy, admission)
	if err != nil {
		return nil, fmt.Errorf("configure the aggregator: %w", err)
	}
	extensions.GenericConfig.RESTOptionsGetter = s.inProcess(extensions.GenericConfig.RESTOptionsGetter)
	extensions.ExtraConfig.CRDRESTOptionsGetter = s.inProcess(extensions.ExtraConfig.CRDRESTOptionsGetter)
	aggregator.GenericConfig.RESTOptionsGetter = s.inProcess(aggregator.GenericConfig.RESTOptionsGetter)
	return &app.Config{
		Options:       o,
		KubeAPIs:      &kubecontrolplane.Config{ControlPlane: *kube, Extra: extra(o)},
		ApiExtensions: extensions,
		Aggregator:    aggregator,
	}, nil
}

// inProcess lets a resource's storage call etcd without gRPC.
func (s Settings) inProcess(upstream generic.RESTOptionsGetter) generic.RESTOptionsGetter {
	return storage.Getter{RESTOptionsGetter: upstream, NewClient: s.NewEtcdClient, CompactRevision: s.EtcdCompactRevision}
}

func extra(o options.CompletedOptions) kubecontrolplane.Extra {
	return kubecontrolplane.Extra{
		KubeletClientConfig:       o.KubeletConfig,
		ServiceIPRange:            o.PrimaryServiceClusterIPRange,
		APIServerServiceIP:        o.APIServerServiceIP,
		SecondaryServiceIPRange:   o.SecondaryServiceClusterIPRange,
		APIServerServicePort:      servicePort,
		ServiceNodePortRange:      o.ServiceNodePortRange,
		KubernetesServiceNodePort: o.KubernetesServiceNodePort,
		EndpointReconcilerType:    reconcilers.Type(o.EndpointReconcilerType),
		MasterCount:               o.MasterCount,
	}
}

// serviceResolver resolves the services of webhooks and aggregated API servers.
func (b *base) serviceResolver(o options.CompletedOptions) (aggregatorapiserver.ServiceResolver, error) {
	host, err := url.Parse(fmt.Sprintf("https://%s:%d", o.SecureServing.BindAddress, o.SecureServing.BindPort))
	if err != nil {
		return nil, fmt.Errorf("resolve the API server's own service: %w", err)
	}
	return aggregatorapiserver.NewLoopbackServiceResolver(
		aggregatorapiserver.NewClusterIPServiceResolver(b.informers.Core().V1().Services().Lister()), host), nil
}
