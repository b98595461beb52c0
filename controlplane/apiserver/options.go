package apiserver

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/pflag"
	clientv3 "go.etcd.io/etcd/client/v3"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/server/egressselector"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/controlplane/reconcilers"
	"k8s.io/kubernetes/plugin/pkg/admission/defaulttolerationseconds"

	"github.com/skiff-dev/skiff/controlplane/admission"
	"github.com/skiff-dev/skiff/controlplane/inventory"
	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Settings configure the API server.
type Settings struct {
	// Address is the node's own. The server listens on it and advertises it.
	Address netip.Addr
	Port    int
	// Listener, if not nil, is used instead.
	Listener net.Listener
	// ServiceCIDR is the range of ClusterIPs, Domain the cluster's DNS domain.
	// ServiceCIDR6 is the IPv6 range of a cluster with both families.
	ServiceCIDR, ServiceCIDR6 netip.Prefix
	Domain                    string
	// PKIDir holds the files of package pki for a control plane.
	PKIDir string
	// AuditPolicy is a file that New reads.
	AuditPolicy string
	// AuditLog is the file for audit records, which is rotated. If it is empty there
	// are none.
	AuditLog string
	// BuildOpenAPI makes the server build the documents of built-in types at start,
	// as upstream does, instead of serving the embedded ones.
	BuildOpenAPI bool
	// Components are the user's settings.
	Components nodeconfig.Components
	// AuthenticationConfig is the path of a file with
	// Components.APIServer.AuthenticationConfig, which must exist while the server runs;
	// empty for none. AuthorizationConfig is the same for Components.APIServer.AuthorizationConfig.
	AuthenticationConfig, AuthorizationConfig string
	// Inventory is what the host says about the cluster's nodes.
	Inventory inventory.Inventory
	// DialEtcd connects to etcd's gRPC services without TLS.
	DialEtcd func(context.Context) (net.Conn, error)
	// NewEtcdClient returns a client of the same etcd that calls it in process.
	NewEtcdClient func() *clientv3.Client
	// EtcdCompactRevision returns the revision up to which that etcd is compacted.
	EtcdCompactRevision func() int64
}

// Limits and periods that suit a laptop.
const (
	auditMaxMiB, auditBackups, auditMaxDays = 20, 3, 30
	// watchDrain is how long a stopping server waits for watches to end.
	watchDrain = time.Second
	// identityRenewal is how often the server renews its identity lease, which lasts
	// an hour. Upstream's default is ten seconds.
	identityRenewal = 5 * time.Minute
	// tolerationSeconds is how long pods stay bound to an unreachable node. Upstream's
	// five minutes suit data centers.
	tolerationSeconds = "30"
	// keyringPoll is how often the file of encryption keys is checked for changes;
	// each phase of a rotation waits for it. Upstream's minute suits external key
	// services.
	keyringPoll = time.Second
)

// Options returns upstream's options for s without the user's settings, and the flags
// that change them.
func Options(s Settings) (*options.ServerRunOptions, cliflag.NamedFlagSets) {
	o := options.NewServerRunOptions()
	flags := o.Flags() // sets defaults that exist only as flag defaults
	file := func(name string) string { return filepath.Join(s.PKIDir, filepath.FromSlash(name)) }
	s.serving(o, file)
	s.storage(o, file)
	s.identity(o, file)
	s.admission(o)
	o.Features.EnableProfiling = false
	o.AllowPrivileged = true

	o.ServiceClusterIPRanges = nodeconfig.Joined(s.ServiceCIDR, s.ServiceCIDR6)
	o.KubeletConfig.PreferredAddressTypes = []string{"InternalIP", "Hostname"}
	o.KubeletConfig.TLSClientConfig.CertFile = file("apiserver-kubelet-client.crt")
	o.KubeletConfig.TLSClientConfig.KeyFile = file("apiserver-kubelet-client.key")
	o.KubeletConfig.TLSClientConfig.CAFile = file("ca.crt")
	o.ProxyClientCertFile, o.ProxyClientKeyFile = file("front-proxy-client.crt"), file("front-proxy-client.key")

	if s.AuditLog != "" {
		o.Audit.PolicyFile = s.AuditPolicy
		o.Audit.LogOptions.Path = s.AuditLog
		o.Audit.LogOptions.MaxSize, o.Audit.LogOptions.MaxBackups, o.Audit.LogOptions.MaxAge = auditMaxMiB, auditBackups, auditMaxDays
		o.Audit.LogOptions.BatchOptions.Mode = "batch"
	}
	return o, flags
}

// admission adds our own plugin to upstream's.
func (s Settings) admission(o *options.ServerRunOptions) {
	generic := o.Admission.GenericAdmission
	admission.Register(generic.Plugins, s.Inventory)
	generic.RecommendedPluginOrder = append(slices.Clone(generic.RecommendedPluginOrder), admission.PluginName)
	generic.EnablePlugins = []string{"NodeRestriction", admission.PluginName}
}

func (s Settings) serving(o *options.ServerRunOptions, file func(string) string) {
	address := net.IP(s.Address.AsSlice())
	o.SecureServing.BindAddress, o.SecureServing.BindPort, o.SecureServing.Listener = address, s.Port, s.Listener
	o.SecureServing.MinTLSVersion = "VersionTLS13"
	o.SecureServing.ServerCert.CertKey.CertFile = file("apiserver.crt")
	o.SecureServing.ServerCert.CertKey.KeyFile = file("apiserver.key")
	o.GenericServerRunOptions.AdvertiseAddress = address
	o.GenericServerRunOptions.ShutdownSendRetryAfter = true
	o.GenericServerRunOptions.ShutdownWatchTerminationGracePeriod = watchDrain
	if s.Address.IsLoopback() {
		// Endpoints must not have loopback addresses.
		o.EndpointReconcilerType = string(reconcilers.NoneEndpointReconcilerType)
	}
}

func (s Settings) storage(o *options.ServerRunOptions, file func(string) string) {
	transport := &o.Etcd.StorageConfig.Transport
	transport.ServerList = []string{"http://" + etcdHost}
	transport.EgressLookup = func(egressselector.NetworkContext) (utilnet.DialFunc, error) {
		return func(ctx context.Context, _, _ string) (net.Conn, error) { return s.DialEtcd(ctx) }, nil
	}
	// Keys rotate while the server runs, so it reloads the file when it changes.
	o.Etcd.EncryptionProviderConfigFilepath = file(pki.EncryptionFile)
	o.Etcd.EncryptionProviderConfigAutomaticReload = true
	// The embedded etcd compacts by itself.
	o.Etcd.StorageConfig.CompactionInterval = 0
}

// etcdHost is never resolved: every connection goes through Settings.DialEtcd.
const etcdHost = "localhost:2379"

func (s Settings) identity(o *options.ServerRunOptions, file func(string) string) {
	authn := o.Authentication
	// applyAuthentication allows anonymous requests to a few paths.
	authn.Anonymous.Allow = false
	authn.ClientCert.ClientCA = file("ca.crt")
	authn.RequestHeader.ClientCAFile = file("front-proxy-ca.crt")
	authn.RequestHeader.AllowedNames = []string{"front-proxy-client"}
	authn.RequestHeader.UsernameHeaders = []string{"X-Remote-User"}
	authn.RequestHeader.UIDHeaders = []string{"X-Remote-Uid"}
	authn.RequestHeader.GroupHeaders = []string{"X-Remote-Group"}
	authn.RequestHeader.ExtraHeaderPrefixes = []string{"X-Remote-Extra-"}
	authn.ServiceAccounts.Issuers = []string{"https://kubernetes.default.svc." + s.Domain}
	// complete adds the public keys.
	o.ServiceAccountSigningKeyFile = file("sa.key")
	o.Authorization.Modes = []string{"Node", "RBAC"}
}

// setTolerations shortens the tolerations that admission adds to every pod. The
// plugin can be configured by flags only.
func setTolerations() error {
	flags := pflag.NewFlagSet("admission", pflag.ContinueOnError)
	defaulttolerationseconds.RegisterFlags(flags)
	for _, name := range []string{"default-not-ready-toleration-seconds", "default-unreachable-toleration-seconds"} {
		if err := flags.Set(name, tolerationSeconds); err != nil {
			return err
		}
	}
	return nil
}
