package app

import (
	"context"
	"sync"
)

// connections caches the API client of each cluster.
type connections struct {
	host Host
	mu   sync.Mutex // guards apis
	apis map[string]Kubernetes
}

func newConnections(host Host) *connections {
	return &connections{host: host, apis: map[string]Kubernetes{}}
}

func (c *connections) get(ctx context.Context, cluster string) (Kubernetes, error) {
	c.mu.Lock()
	api := c.apis[cluster]
	c.mu.Unlock()
	if api != nil {
		return api, nil
	}
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	api, err := c.host.Connect(limited, cluster)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.apis[cluster]; known != nil {
		return known, nil
	}
	c.apis[cluster] = api
	return api, nil
}

func (c *connections) forget(cluster string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.apis, cluster)
}
