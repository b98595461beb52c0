// Package client connects the agent's components to the API server. All go through
// the node's load balancer, each with a certificate of its own.
package client

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// Server is the API server's URL on a node: nodeconfig.PortAPILoadBalancer on the
// loopback interface.
const Server = "https://127.0.0.1:7443"

// Identity is the client certificate that a component presents to the API server.
type Identity struct {
	// CA is the file with the cluster's CA.
	CA string
	// Certificate and Key are files.
	Certificate, Key string
}

// Component returns the identity whose certificate and key are NAME.crt and
// NAME.key in pkiDir.
func Component(pkiDir, name string) Identity {
	return Identity{
		CA:          filepath.Join(pkiDir, "ca.crt"),
		Certificate: filepath.Join(pkiDir, name+".crt"),
		Key:         filepath.Join(pkiDir, name+".key"),
	}
}

// Config returns a configuration for client-go. Protobuf is preferred, since it
// costs both sides less CPU time than JSON.
func (i Identity) Config() *rest.Config {
	return &rest.Config{
		Host:            Server,
		TLSClientConfig: rest.TLSClientConfig{CAFile: i.CA, CertFile: i.Certificate, KeyFile: i.Key},
		ContentConfig: rest.ContentConfig{
			AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json",
			ContentType:        "application/vnd.kubernetes.protobuf",
		},
		QPS:   20,
		Burst: 40,
	}
}

// Kubeconfig returns the identity in the form that upstream programs read.
func (i Identity) Kubeconfig() ([]byte, error) {
	config := api.Config{
		Clusters:       map[string]*api.Cluster{"skiff": {Server: Server, CertificateAuthority: i.CA}},
		AuthInfos:      map[string]*api.AuthInfo{"node": {ClientCertificate: i.Certificate, ClientKey: i.Key}},
		Contexts:       map[string]*api.Context{"node": {Cluster: "skiff", AuthInfo: "node"}},
		CurrentContext: "node",
	}
	return clientcmd.Write(config)
}

// WriteKubeconfig writes Kubeconfig to path with mode 0600.
func (i Identity) WriteKubeconfig(path string) error {
	content, err := i.Kubeconfig()
	if err != nil {
		return fmt.Errorf("encode kubeconfig %s: %w", path, err)
	}
	return WriteFile(path, content, 0o600)
}

// WriteFile replaces a file atomically. It creates the directory if necessary.
func WriteFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := atomicfile.Write(path, content, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
