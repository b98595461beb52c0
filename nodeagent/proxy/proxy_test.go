package proxy

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/nodeagent/client"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func document() nodeconfig.Node {
	return nodeconfig.Node{
		Name:       "worker-1",
		Network:    nodeconfig.Network{Address: netip.MustParsePrefix("192.168.104.21/24")},
		Kubernetes: nodeconfig.Kubernetes{PodCIDR: netip.MustParsePrefix("10.244.0.0/16")},
	}
}

func TestUpstreamAcceptsTheConfiguration(t *testing.T) {
	p := Proxy{Node: document(), Identity: client.Component("/pki", "proxy"), RunDir: t.TempDir()}
	if _, err := p.options(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"proxy.yaml", "proxy.kubeconfig"} {
		info, err := os.Stat(filepath.Join(p.RunDir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestUsersFieldsAreMergedIntoTheConfiguration(t *testing.T) {
	p := Proxy{Node: document(), Identity: client.Component("/pki", "proxy"), RunDir: t.TempDir()}
	p.Fields = map[string]any{"nftables": map[string]any{"syncPeriod": "1m"}}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(p.RunDir, "proxy.yaml"))
	if err != nil || !strings.Contains(string(content), `"syncPeriod":"1m"`) || !strings.Contains(string(content), `"minSyncPeriod":"50ms"`) {
		t.Errorf("%s, %v", content, err)
	}
	p.Fields = map[string]any{"nftables": map[string]any{"syncPeriod": "-1m"}}
	if err := p.Check(); err == nil || !strings.Contains(err.Error(), "SyncPeriod") {
		t.Errorf("a proxy that would not start: %v", err)
	}
}

func TestConfigurationListensOnlyOnLoopback(t *testing.T) {
	c := configuration(document(), "/run/kubeconfig")
	for _, address := range []string{c.HealthzBindAddress, c.MetricsBindAddress} {
		if parsed, err := netip.ParseAddrPort(address); err != nil || !parsed.Addr().IsLoopback() {
			t.Errorf("listens on %s", address)
		}
	}
	if c.EnableProfiling {
		t.Error("profiling is on")
	}
}

func TestConfigurationChangesNoConntrackSetting(t *testing.T) {
	content, err := yaml.Marshal(configuration(document(), "/run/kubeconfig").Conntrack)
	if err != nil {
		t.Fatal(err)
	}
	var settings map[string]any
	if err := yaml.Unmarshal(content, &settings); err != nil {
		t.Fatal(err)
	}
	for name, value := range settings {
		if value != "0s" && value != 0.0 && value != int64(0) && value != false {
			t.Errorf("%s is %v", name, value)
		}
	}
}
