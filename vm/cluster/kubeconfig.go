package cluster

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Server returns the URL of the cluster's API on the host.
func Server(port int) string { return fmt.Sprintf("https://127.0.0.1:%d", port) }

// Kubeconfig returns the admin's kubeconfig, with one context named skiff-NAME.
// files must contain ca.crt, admin.crt and admin.key.
func Kubeconfig(name string, port int, files map[string][]byte) ([]byte, error) {
	id := "skiff-" + name
	config := api.NewConfig()
	config.Clusters[id] = &api.Cluster{Server: Server(port), CertificateAuthorityData: files["ca.crt"]}
	config.AuthInfos[id] = &api.AuthInfo{ClientCertificateData: files["admin.crt"], ClientKeyData: files["admin.key"]}
	config.Contexts[id] = &api.Context{Cluster: id, AuthInfo: id}
	config.CurrentContext = id
	content, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return content, nil
}
