package kubeconfig

import (
	"fmt"
	"net"
	"net/url"

	"k8s.io/client-go/tools/clientcmd"
)

// WithHost returns a kubeconfig whose servers are at another host, on the same port.
func WithHost(content []byte, host string) ([]byte, error) {
	config, err := clientcmd.Load(content)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	for _, c := range config.Clusters {
		server, err := url.Parse(c.Server)
		if err != nil {
			return nil, fmt.Errorf("read the kubeconfig: %w", err)
		}
		server.Host = net.JoinHostPort(host, server.Port())
		c.Server = server.String()
	}
	return clientcmd.Write(*config)
}
