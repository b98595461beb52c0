package kubelet

import (
	"os"
	"path/filepath"
	"testing"

	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
)

func TestRecordsOfAnotherPolicyAreRemoved(t *testing.T) {
	config := &kubeletconfig.KubeletConfiguration{CPUManagerPolicy: "static", MemoryManagerPolicy: "None"}
	for _, test := range []struct {
		name, content string
		stays         bool
	}{
		{"cpu_manager_state", `{"policyName":"static","defaultCpuSet":"0-1"}`, true},
		{"cpu_manager_state", `{"policyName":"none"}`, false},
		{"cpu_manager_state", `damaged`, false},
		{"memory_manager_state", `{"policyName":"None"}`, true},
		{"memory_manager_state", `{"policyName":"Static"}`, false},
	} {
		root := t.TempDir()
		path := filepath.Join(root, test.name)
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := removeOtherPolicies(root, config); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); (err == nil) != test.stays {
			t.Errorf("%s %s: %v", test.name, test.content, err)
		}
	}
}
