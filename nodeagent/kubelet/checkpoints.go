package kubelet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
)

// removeOtherPolicies removes the kubelet's records of which CPUs and memory containers
// have if another policy than that of config made them: the kubelet would not start.
// Upstream leaves that to the administrator
// (https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/).
func removeOtherPolicies(root string, config *kubeletconfig.KubeletConfiguration) error {
	for name, policy := range map[string]string{
		"cpu_manager_state": config.CPUManagerPolicy, "memory_manager_state": config.MemoryManagerPolicy,
	} {
		path := filepath.Join(root, name)
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the kubelet's record: %w", err)
		}
		var record struct {
			PolicyName string `json:"policyName"`
		}
		if err := json.Unmarshal(content, &record); err == nil && record.PolicyName == policy {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove the kubelet's record of another policy: %w", err)
		}
	}
	return nil
}
