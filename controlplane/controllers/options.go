package controllers

import (
	"net/netip"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"

	"github.com/skiff-dev/skiff/controlplane/arguments"
	authorities "github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Periods after which a lost node is noticed. Its pods move when their tolerations,
// which the API server sets, have expired too: within 75 s.
const (
	nodeMonitorPeriod = 5 * time.Second
	nodeMonitorGrace  = 40 * time.Second
	nodeMaskBits      = 24
	nodeMaskBits6     = 64
)

// shutdownTimeout is the limit for stopping the controllers.
const shutdownTimeout = 5 * time.Second

// Settings configure the controllers.
type Settings struct {
	// Cluster is the cluster's name.
	Cluster string
	// PodCIDR is divided into a range for each node, without ServiceCIDR.
	PodCIDR, ServiceCIDR netip.Prefix
	// PodCIDR6 and ServiceCIDR6 are the IPv6 ranges of a cluster with both families.
	PodCIDR6, ServiceCIDR6 netip.Prefix
	// PKIDir holds ca.crt, the signer's certificate, ca.key and sa.key.
	PKIDir string
	// Args are the user's command-line flags.
	Args map[string]string
	// StateDir would contain volume plugins. There are none.
	StateDir string
}

// Options returns upstream's options for s.
func Options(s Settings) (*options.KubeControllerManagerOptions, error) {
	o, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return nil, err
	}
	// It sets defaults that exist only as flag defaults.
	flags := o.Flags(app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases())
	pki := func(name string) string { return filepath.Join(s.PKIDir, name) }
	// There is no port: the API server serves health and metrics.
	o.SecureServing.BindPort = 0
	o.Authentication, o.Authorization = nil, nil
	o.Generic.LeaderElection.LeaderElect = false
	o.ControllerShutdownTimeout = shutdownTimeout

	o.KubeCloudShared.ClusterName = s.Cluster
	o.KubeCloudShared.UseServiceAccountCredentials = true
	o.KubeCloudShared.AllocateNodeCIDRs = true
	o.KubeCloudShared.ConfigureCloudRoutes = false
	o.KubeCloudShared.ClusterCIDR = nodeconfig.Joined(s.PodCIDR, s.PodCIDR6)
	o.NodeIPAMController.ServiceCIDR = nodeconfig.Joined(s.ServiceCIDR, s.ServiceCIDR6)
	if s.PodCIDR6.IsValid() {
		o.NodeIPAMController.NodeCIDRMaskSizeIPv4, o.NodeIPAMController.NodeCIDRMaskSizeIPv6 = nodeMaskBits, nodeMaskBits6
	} else {
		o.NodeIPAMController.NodeCIDRMaskSize = nodeMaskBits
	}
	setMonitorPeriod(o)
	o.NodeLifecycleController.NodeMonitorGracePeriod = metav1.Duration{Duration: nodeMonitorGrace}

	o.CSRSigningController.ClusterSigningCertFile = pki(authorities.SignerFile)
	o.CSRSigningController.ClusterSigningKeyFile = pki("ca.key")
	o.SAController.RootCAFile = pki("ca.crt")
	o.SAController.ServiceAccountKeyFile = pki("sa.key")
	o.PersistentVolumeBinderController.VolumeConfiguration.FlexVolumePluginDir = filepath.Join(s.StateDir, "volume-plugins")
	if err := arguments.Apply(flags, s.Args); err != nil {
		return nil, err
	}
	return o, nil
}
