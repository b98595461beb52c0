package controllers

import (
	"net/netip"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
)

// How soon a node that is gone is known to be. Its pods move once their
// toleration, set by the API server, is over as well: within 75 s.
const (
	nodeMonitorPeriod = 5 * time.Second
	nodeMonitorGrace  = 40 * time.Second
	nodeMaskBits      = 24
)

// shutdownTimeout bounds how long controllers may take to end.
const shutdownTimeout = 5 * time.Second

// Settings are what the controllers need to know.
type Settings struct {
	// Cluster is the cluster's name.
	Cluster string
	// PodCIDR is cut into one range for each node; ServiceCIDR is kept out of it.
	PodCIDR, ServiceCIDR netip.Prefix
	// PKIDir holds ca.crt, ca.key and sa.key.
	PKIDir string
	// StateDir is where volume plugins of the host would be; empty.
	StateDir string
}

// Options are upstream's options for s.
func Options(s Settings) (*options.KubeControllerManagerOptions, error) {
	o, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return nil, err
	}
	// Some defaults of upstream's exist only as defaults of its flags.
	o.Flags(app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases())
	pki := func(name string) string { return filepath.Join(s.PKIDir, name) }
	// No port: health and metrics are the API server's.
	o.SecureServing.BindPort = 0
	o.Authentication, o.Authorization = nil, nil
	o.Generic.LeaderElection.LeaderElect = false
	o.ControllerShutdownTimeout = shutdownTimeout

	o.KubeCloudShared.ClusterName = s.Cluster
	o.KubeCloudShared.UseServiceAccountCredentials = true
	o.KubeCloudShared.AllocateNodeCIDRs = true
	o.KubeCloudShared.ConfigureCloudRoutes = false
	o.KubeCloudShared.ClusterCIDR = s.PodCIDR.String()
	o.NodeIPAMController.ServiceCIDR = s.ServiceCIDR.String()
	o.NodeIPAMController.NodeCIDRMaskSize = nodeMaskBits
	o.KubeCloudShared.NodeMonitorPeriod = metav1.Duration{Duration: nodeMonitorPeriod}
	o.NodeLifecycleController.NodeMonitorGracePeriod = metav1.Duration{Duration: nodeMonitorGrace}

	o.CSRSigningController.ClusterSigningCertFile = pki("ca.crt")
	o.CSRSigningController.ClusterSigningKeyFile = pki("ca.key")
	o.SAController.RootCAFile = pki("ca.crt")
	o.SAController.ServiceAccountKeyFile = pki("sa.key")
	o.PersistentVolumeBinderController.VolumeConfiguration.FlexVolumePluginDir = filepath.Join(s.StateDir, "volume-plugins")
	return o, nil
}
