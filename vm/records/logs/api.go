package logs

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/vm/credentials"
	"github.com/skiff-dev/skiff/vm/offline"
	"github.com/skiff-dev/skiff/vm/records/logs/objects"
)

// certificateLife is how long the certificate of one connection to the API is valid.
// Watches end after an hour at most, and the next one gets another certificate.
const certificateLife = 24 * time.Hour

// connect returns the configuration of a client of the Kubernetes API that may read
// pods and events.
func (p *process) connect() (*rest.Config, error) {
	kubeconfig, err := offline.UserKubeconfig(p.config.Home.Cluster(p.config.Cluster), credentials.User{Name: names.UserLogs, Lifetime: certificateLife})
	if err != nil {
		return nil, fmt.Errorf("connect to the Kubernetes API: %w", err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("connect to the Kubernetes API: %w", err)
	}
	// Requests of this process do not count as use of the cluster, unlike those to the API's port.
	config.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.config.Home.Cluster(p.config.Cluster).APISocket())
	}
	return config, nil
}

// pods follows the labels of pods until ctx ends.
func (p *process) pods(ctx context.Context) *objects.Pods {
	pods := objects.NewPods()
	go objects.Retry(ctx, p.config.Log, func(ctx context.Context) error {
		config, err := p.connect()
		if err != nil {
			return err
		}
		client, err := metadata.NewForConfig(config)
		if err != nil {
			return err
		}
		return pods.Follow(ctx, client)
	})
	return pods
}

// api brings events into the store until ctx ends.
func (p *process) api(ctx context.Context) {
	var once sync.Once
	objects.Retry(ctx, p.config.Log, func(ctx context.Context) error {
		config, err := p.connect()
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		replay := false
		once.Do(func() { replay = p.replay })
		events := &objects.Events{Cluster: p.config.Cluster, Client: client, Store: p.store, Cursors: p.cursors, Replay: replay}
		return events.Follow(ctx)
	})
}
