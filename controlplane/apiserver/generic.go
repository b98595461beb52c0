package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	apiserverconfig "k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/filters"
	"k8s.io/apiserver/pkg/server/healthz"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	kubecontrolplane "k8s.io/kubernetes/pkg/controlplane"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"
	"k8s.io/kubernetes/pkg/kubeapiserver"

	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	metricsapi "sigs.k8s.io/metrics-server/pkg/api"

	"github.com/skiff-dev/skiff/controlplane/informing"
	"github.com/skiff-dev/skiff/controlplane/policy"
	"github.com/skiff-dev/skiff/controlplane/transport"
	"github.com/skiff-dev/skiff/internal/names"
)

// informerResync is upstream's period for the API server's own informers.
const informerResync = 10 * time.Minute

// base is the configuration that the three servers of the chain share.
type base struct {
	config         *genericapiserver.Config
	informers      informers.SharedInformerFactory
	storageFactory *serverstorage.DefaultStorageFactory
}

// newBase builds the shared configuration. It differs from upstream's in two ways:
// the server's own clients connect through memory instead of TLS on loopback, which
// saves making an RSA key at each start; and anonymous requests are allowed on a few
// paths only.
func newBase(o options.CompletedOptions, s Settings, memory *transport.Server) (*base, error) {
	c := genericapiserver.NewConfig(legacyscheme.Codecs)
	resources := kubecontrolplane.DefaultAPIResourceConfigSource()
	c.MergedResourceConfig = resources
	c.LoopbackClientConfig = memory.Loopback()

	client, err := kubernetes.NewForConfig(c.LoopbackClientConfig)
	if err != nil {
		return nil, fmt.Errorf("make the API server's own client: %w", err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, informerResync, informers.WithTransform(dropManagedFields))
	b := &base{config: c, informers: contextual{factory}}
	for _, apply := range []struct {
		what string
		do   func() error
	}{
		{"server", func() error { return o.GenericServerRunOptions.ApplyTo(c) }},
		{"serving", func() error { return o.SecureServing.SecureServingOptions.ApplyTo(&c.SecureServing) }},
		{"features", func() error { return o.Features.ApplyTo(c, client, b.informers) }},
		{"API", func() error { return o.APIEnablement.ApplyTo(c, resources, legacyscheme.Scheme) }},
		{"tracing", func() error { return o.Traces.ApplyTo(nil, c) }},
		{"storage", func() error { return b.applyStorage(o, s) }},
		{"OpenAPI", func() error { b.applyOpenAPI(); return nil }},
		{"authentication", func() error { return b.applyAuthentication(o, client) }},
		{"authorization", func() error { return b.applyAuthorization(o, s) }},
		{"audit", func() error { return o.Audit.ApplyTo(c) }},
	} {
		if err := apply.do(); err != nil {
			return nil, fmt.Errorf("configure the API server's %s: %w", apply.what, err)
		}
	}
	c.LongRunningFunc = filters.BasicLongRunningRequestCheck(
		sets.NewString("watch", "proxy"),
		sets.NewString("attach", "exec", "proxy", "log", "portforward"),
	)
	c.AggregatedDiscoveryGroupManager = aggregated.NewResourceManager("apis")
	b.applyGoAway()
	return b, b.applyPolicy()
}

func (b *base) applyOpenAPI() {
	definitions := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(generatedopenapi.GetOpenAPIDefinitions)
	namer := openapinamer.NewDefinitionNamer(legacyscheme.Scheme, apiextensionsapiserver.Scheme, aggregatorscheme.Scheme, metricsapi.Scheme)
	b.config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	b.config.OpenAPIConfig.Info.Title = "Kubernetes"
	b.config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	b.config.OpenAPIV3Config.Info.Title = "Kubernetes"
}

func (b *base) applyStorage(o options.CompletedOptions, s Settings) error {
	o.Etcd.StorageConfig.Transport.TracerProvider = b.config.TracerProvider
	factory := kubeapiserver.NewStorageFactoryConfigEffectiveVersion(b.config.EffectiveVersion)
	factory.APIResourceConfig = b.config.MergedResourceConfig
	factory.DefaultResourceEncoding.SetEffectiveVersion(b.config.EffectiveVersion)
	var err error
	if b.storageFactory, err = factory.Complete(o.Etcd).New(); err != nil {
		return err
	}
	b.storageFactory.StorageConfig.StorageObjectCountTracker = b.config.StorageObjectCountTracker
	if err := o.Etcd.ApplyWithStorageFactoryTo(b.storageFactory, b.config); err != nil {
		return err
	}
	b.config.RESTOptionsGetter = s.inProcess(b.config.RESTOptionsGetter)
	return nil
}

// applyAuthentication authenticates clients in this process by their context and
// all others by upstream's means. It allows anonymous requests to anonymousPaths.
func (b *base) applyAuthentication(o options.CompletedOptions, client kubernetes.Interface) error {
	c := b.config
	ctx := wait.ContextForChannel(c.DrainedNotify())
	if err := o.Authentication.ApplyTo(ctx, &c.Authentication, c.SecureServing, nil, c.OpenAPIConfig, c.OpenAPIV3Config, client, b.informers, c.APIServerID); err != nil {
		return err
	}
	known := union.New(authenticator.RequestFunc(inProcess), c.Authentication.Authenticator)
	c.Authentication.Authenticator = union.NewFailOnError(known, anonymous.NewAuthenticator(anonymousPaths()))
	return nil
}

// applyAuthorization makes upstream's authorizers. A user's configuration does not apply to
// the cluster's administrator, who could not correct it if it denied everything.
func (b *base) applyAuthorization(o options.CompletedOptions, s Settings) error {
	ctx, a := wait.ContextForChannel(b.config.DrainedNotify()), &b.config.Authorization
	var err error
	a.Authorizer, b.config.RuleResolver, _, err = controlplaneapiserver.BuildAuthorizer(ctx, o.CompletedOptions, nil, b.config.APIServerID, b.informers)
	if err == nil && s.AuthorizationConfig != "" {
		a.Authorizer, err = administratorFirst(authorizerfactory.NewPrivilegedGroups(names.GroupClusterAdmins), a.Authorizer)
	}
	return err
}

// policyRetry is the delay before a failed policy.Ensure is tried again.
const policyRetry = time.Second

// replacedHooks are upstream's post-start hooks that policy.Ensure does the work of.
var replacedHooks = []string{"rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes"}

// applyPolicy replaces two of upstream's post-start hooks by a faster one, and keeps
// their health checks, whose names tools and tests look for. A failing hook would end
// the process and with it an etcd member that a majority may depend on, so this hook
// retries until the server stops.
func (b *base) applyPolicy() error {
	var done atomic.Bool
	for _, name := range replacedHooks {
		b.config.DisabledPostStartHooks.Insert(name)
		b.config.AddHealthChecks(healthz.NamedCheck("poststarthook/"+name, func(*http.Request) error {
			if !done.Load() {
				return errors.New("not finished")
			}
			return nil
		}))
	}
	return b.config.AddPostStartHook("skiff/bootstrap-policy", func(hook genericapiserver.PostStartHookContext) error {
		_ = wait.PollUntilContextCancel(hook, policyRetry, true, func(ctx context.Context) (bool, error) {
			err := policy.Ensure(ctx, hook.LoopbackClientConfig)
			if err != nil && ctx.Err() == nil {
				klog.ErrorS(err, "Failed to ensure the bootstrap policy, trying again")
			}
			done.Store(err == nil)
			return err == nil, nil
		})
		return nil
	})
}

func inProcess(r *http.Request) (*authenticator.Response, bool, error) {
	u, ok := transport.Identity(r.Context())
	if !ok {
		return nil, false, nil
	}
	return &authenticator.Response{User: u}, true, nil
}

// anonymousPaths returns the paths to which anonymous requests are authenticated
// (KEP-4633); RBAC decides whether they are answered. They are those of the roles
// system:public-info-viewer, which upstream binds to everybody, and
// system:service-account-issuer-discovery, which users may bind.
func anonymousPaths() []apiserverconfig.AnonymousAuthCondition {
	return []apiserverconfig.AnonymousAuthCondition{
		{Path: "/livez"}, {Path: "/readyz"}, {Path: "/healthz"},
		{Path: "/version"}, {Path: "/version/"},
		{Path: "/.well-known/openid-configuration"}, {Path: "/openid/v1/jwks"}, {Path: "/openid/v1/jwks/"},
	}
}

// contextual starts informers with a context of the standard library. Upstream
// derives one from the channel, of a type for which package context needs a
// goroutine per derived context: four per informer.
type contextual struct {
	informers.SharedInformerFactory
}

// Start implements informers.SharedInformerFactory.
func (c contextual) Start(stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-stop
		cancel()
	}()
	informing.Start(ctx, c.SharedInformerFactory)
}

// dropManagedFields removes managedFields, which no controller reads, from objects
// in informers to save memory.
func dropManagedFields(object any) (any, error) {
	if accessor, err := meta.Accessor(object); err == nil && accessor.GetManagedFields() != nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}
