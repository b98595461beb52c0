package kubeconfig

import (
	"cmp"
	"fmt"
	"net"
	"net/url"

	"k8s.io/client-go/tools/clientcmd"
)

// WithHost returns a kubeconfig whose servers are at another host, on the same port
// unless another one is given.
func WithHost(content []byte, host, port string) ([]byte, error) {
	config, err := clientcmd.Load(content)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	for _, c := range config.Clusters {
		server, err := url.Parse(c.Server)
		if err != nil {
			return nil, fmt.Errorf("read the kubeconfig: %w", err)
		}
		server.Host = net.JoinHostPort(host, cmp.Or(port, server.Port()))
		c.Server = server.String()
	}
	return clientcmd.Write(*config)
}
