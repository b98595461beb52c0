package kubelet

import (
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/apis/config/validation"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func document(role nodeconfig.Role) nodeconfig.Node {
	return nodeconfig.Node{
		Name: "worker-1",
		Role: role,
		Network: nodeconfig.Network{
			Address:     netip.MustParsePrefix("192.168.104.21/24"),
			Nameservers: []netip.Addr{netip.MustParseAddr("192.168.104.2")},
		},
		Kubernetes: nodeconfig.Kubernetes{
			DNSAddress: netip.MustParseAddr("10.96.0.10"),
			DNSDomain:  "cluster.local",
			Labels:     map[string]string{"example.com/disk": "fast"},
			Taints:     []string{names.TaintControlPlane + ":NoSchedule"},
		},
	}
}

func paths() Paths {
	return Paths{
		Root: "/var/lib/kubelet", ClientCA: "/pki/ca.crt", ResolvConf: "/run/resolv.conf",
		Certificate: "/pki/kubelet.crt", Key: "/pki/kubelet.key", ContainerdSocket: "/run/containerd/containerd.sock",
		ServingCertificate: "/pki/kubelet-server.crt", ServingKey: "/pki/kubelet-server.key",
	}
}

func TestServerIsValidOnEveryMachine(t *testing.T) {
	for name, machine := range map[string]Machine{
		"small":           {MemoryBytes: 512 << 20, CgroupV2: true},
		"usual":           {MemoryBytes: 2 << 30, CgroupV2: true, KernelDefaults: true},
		"large, cgroup 1": {MemoryBytes: 64 << 30},
		"sandbox":         {MemoryBytes: 2 << 30, CgroupV2: true, SharedDisk: true},
	} {
		for _, role := range []nodeconfig.Role{nodeconfig.RoleControlPlane, nodeconfig.RoleWorker} {
			t.Run(name+" "+string(role), func(t *testing.T) {
				server, err := Server(document(role), machine, paths())
				if err != nil {
					t.Fatal(err)
				}
				if err := options.ValidateKubeletServer(server); err != nil {
					t.Error(err)
				}
				if err := validation.ValidateKubeletConfiguration(&server.KubeletConfiguration, utilfeature.DefaultFeatureGate); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestServerAdmitsOnlyKnownClients(t *testing.T) {
	server, err := Server(document(nodeconfig.RoleWorker), Machine{MemoryBytes: 2 << 30}, paths())
	if err != nil {
		t.Fatal(err)
	}
	config := server.KubeletConfiguration
	for fact, holds := range map[string]bool{
		"anonymous off":        !config.Authentication.Anonymous.Enabled,
		"tokens are reviewed":  config.Authentication.Webhook.Enabled && config.Authentication.Webhook.CacheTTL.Duration == 10*time.Second,
		"client CA":            config.Authentication.X509.ClientCAFile == "/pki/ca.crt",
		"access is reviewed":   config.Authorization.Mode == kubeletconfig.KubeletAuthorizationModeWebhook,
		"read-only port off":   config.ReadOnlyPort == 0,
		"only the node's own":  config.Address == "192.168.104.21",
		"health on loopback":   config.HealthzBindAddress == "127.0.0.1",
		"TLS 1.3":              config.TLSMinVersion == "VersionTLS13",
		"asks for no client":   !config.RotateCertificates && server.BootstrapKubeconfig == "",
		"asks for no server's": !config.ServerTLSBootstrap && config.TLSCertFile == "/pki/kubelet-server.crt" && config.TLSPrivateKeyFile == "/pki/kubelet-server.key",
		"no static pods":       config.StaticPodPath == "" && config.StaticPodURL == "",
		"no write below /usr":  !strings.HasPrefix(config.VolumePluginDir, "/usr"),
		"no profiling":         !config.EnableProfilingHandler,
		"pods resolve by kube": config.ClusterDNS[0] == "10.96.0.10" && config.ClusterDomain == "cluster.local",
	} {
		if !holds {
			t.Errorf("false: %s", fact)
		}
	}
}

func TestPodsAreConfinedByDefault(t *testing.T) {
	server, err := Server(document(nodeconfig.RoleWorker), Machine{MemoryBytes: 2 << 30}, paths())
	if err != nil {
		t.Fatal(err)
	}
	if !server.KubeletConfiguration.SeccompDefault {
		t.Error("pods without a seccomp profile are unconfined")
	}
	if server.PodPidsLimit != 4096 {
		t.Errorf("a pod may have %d processes", server.PodPidsLimit)
	}
}

func TestOnlyANodesOwnDiskCausesEvictionAndImageCollection(t *testing.T) {
	for name, test := range map[string]struct {
		shared bool
		gc     int32
		evicts []string
	}{
		"machine": {gc: 90, evicts: []string{"imagefs.available", "memory.available", "nodefs.available", "nodefs.inodesFree"}},
		"sandbox": {shared: true, gc: 100, evicts: []string{"memory.available"}},
	} {
		t.Run(name, func(t *testing.T) {
			server, err := Server(document(nodeconfig.RoleWorker), Machine{MemoryBytes: 2 << 30, SharedDisk: test.shared}, paths())
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Sorted(maps.Keys(server.EvictionHard)); !slices.Equal(got, test.evicts) {
				t.Errorf("evicts by %v, want %v", got, test.evicts)
			}
			if server.ImageGCHighThresholdPercent != test.gc {
				t.Errorf("collects images at %d %%, want %d", server.ImageGCHighThresholdPercent, test.gc)
			}
		})
	}
}

func TestServerRegistersTheNodeAsDocumented(t *testing.T) {
	server, err := Server(document(nodeconfig.RoleControlPlane), Machine{MemoryBytes: 2 << 30}, paths())
	if err != nil {
		t.Fatal(err)
	}
	if server.HostnameOverride != "worker-1" || server.NodeIP != "192.168.104.21" {
		t.Errorf("registers as %s at %s", server.HostnameOverride, server.NodeIP)
	}
	if server.NodeLabels[names.LabelRole] != "control-plane" || server.NodeLabels["example.com/disk"] != "fast" {
		t.Errorf("labels %v", server.NodeLabels)
	}
	if taints := server.RegisterWithTaints; len(taints) != 1 || taints[0].Key != names.TaintControlPlane {
		t.Errorf("taints %v", taints)
	}
	if server.CloudProvider != "" {
		t.Errorf("cloud provider %q without a cloud", server.CloudProvider)
	}
	node := document(nodeconfig.RoleWorker)
	node.Kubernetes.Cloud = true
	if server, err = Server(node, Machine{MemoryBytes: 2 << 30}, paths()); err != nil || server.CloudProvider != "external" {
		t.Errorf("cloud provider %q, %v", server.CloudProvider, err)
	}
}

func TestServerRefusesAnInvalidTaint(t *testing.T) {
	node := document(nodeconfig.RoleWorker)
	node.Kubernetes.Taints = []string{"key=value:Sometimes"}
	if _, err := Server(node, Machine{MemoryBytes: 2 << 30}, paths()); err == nil {
		t.Error("no error")
	}
}

func TestReservedNeverTakesMoreThanAThird(t *testing.T) {
	for _, test := range []struct {
		role         nodeconfig.Role
		memory, want int64
	}{
		{nodeconfig.RoleWorker, 384 << 20, 128 << 20},
		{nodeconfig.RoleWorker, 4 << 30, 192 << 20},
		{nodeconfig.RoleControlPlane, 768 << 20, 256 << 20},
		{nodeconfig.RoleControlPlane, 4 << 30, 512 << 20},
	} {
		if got := reserved(test.role, test.memory); got != test.want {
			t.Errorf("%s with %d MiB: %d MiB, want %d", test.role, test.memory>>20, got>>20, test.want>>20)
		}
	}
}

func TestKernelDefaultsHoldOnlyIfEverySettingDoes(t *testing.T) {
	good := map[string]string{
		"/proc/sys/vm/overcommit_memory": "1\n", "/proc/sys/vm/panic_on_oom": "0\n",
		"/proc/sys/kernel/panic": "10\n", "/proc/sys/kernel/panic_on_oops": "1\n",
		"/proc/sys/kernel/keys/root_maxkeys": "1000000\n", "/proc/sys/kernel/keys/root_maxbytes": "25000000\n",
	}
	reader := func(settings map[string]string) func(string) ([]byte, error) {
		return func(path string) ([]byte, error) {
			if content, ok := settings[path]; ok {
				return []byte(content), nil
			}
			return nil, os.ErrNotExist
		}
	}
	if !kernelDefaults(reader(good)) {
		t.Error("false though all are as wanted")
	}
	for path := range good {
		bad := map[string]string{}
		for other, content := range good {
			if other != path {
				bad[other] = content
			}
		}
		if kernelDefaults(reader(bad)) {
			t.Errorf("true without %s", path)
		}
		bad[path] = "7\n"
		if kernelDefaults(reader(bad)) {
			t.Errorf("true with another %s", path)
		}
	}
}
