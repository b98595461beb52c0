package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
)

// removeOldCertificates removes certificates that kubelets of earlier releases asked the
// cluster for. The host makes all certificates now.
func (k Kubelet) removeOldCertificates() error {
	old, err := filepath.Glob(filepath.Join(k.Paths.certificates(), "kubelet-*"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove an old certificate: %w", err)
		}
	}
	return nil
}
