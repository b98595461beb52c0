// Package cloud is the cluster's cloud controller manager: upstream's controllers
// with a provider whose platform is the host. They give new nodes their provider ID,
// zone and addresses, remove nodes without a machine, taint those that are shut down,
// and give services of type LoadBalancer their addresses. Routes between nodes are
// not here, because every node agent makes its own.
package cloud

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/controllers/service"
	servicehelper "k8s.io/cloud-provider/service/helpers"
	"k8s.io/component-base/metrics/prometheus/controllers"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
	"github.com/skiff-dev/skiff/controlplane/informing"
)

// Periods of upstream's routines. They are long, because the controllers watch nodes
// and services, and what they ask the cloud for seldom changes.
const (
	addressPeriod = time.Hour
	monitorPeriod = time.Minute
	retryPeriod   = 5 * time.Second
)

// Numbers of workers. A worker waits for the cloud, which answers in milliseconds.
const (
	nodeWorkers    = 2
	serviceWorkers = 2
)

// manager is the name of these controllers in metrics.
const manager = "cloud-controller-manager"

// Settings configure the controllers.
type Settings struct {
	// Client has the controllers' identity.
	Client *rest.Config
	// Cluster is the cluster's name.
	Cluster string
	// Cloud is the cluster's cloud.
	Cloud *cloudapi.Client
	Log   *slog.Logger
}

// Run runs the controllers until ctx ends.
func Run(ctx context.Context, s Settings) error {
	client, err := kubernetes.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("make the cloud controllers' client: %w", err)
	}
	defer s.Cloud.CloseIdleConnections()
	m := &controllerManager{
		settings: s, client: client, metrics: controllers.NewControllerManagerMetrics(manager),
		// Without a resync period: the controllers' own handlers would ask for one.
		informers: informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(trim)),
		provider:  NewProvider(s.Cloud),
	}
	parts, err := m.parts()
	if err != nil {
		return err
	}
	informing.Start(ctx, m.informers)
	defer m.informers.Shutdown()
	m.informers.WaitForCacheSync(ctx.Done())
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(func() { part(ctx) })
	}
	running.Wait()
	return nil
}

// trim drops what no controller reads from the objects that informers keep.
func trim(object any) (any, error) {
	if m, err := meta.Accessor(object); err == nil {
		m.SetManagedFields(nil)
	}
	return object, nil
}

type controllerManager struct {
	settings  Settings
	client    kubernetes.Interface
	informers informers.SharedInformerFactory
	provider  cloudprovider.Interface
	metrics   *controllers.ControllerManagerMetrics
}

// parts builds the controllers, before the informers start. Each of them runs until
// its context ends.
func (m *controllerManager) parts() ([]func(context.Context), error) {
	nodes, services := m.informers.Core().V1().Nodes(), m.informers.Core().V1().Services()
	initializer, err := newInitializer(nodes, m.client, m.provider)
	if err != nil {
		return nil, fmt.Errorf("make the cloud node controller: %w", err)
	}
	balancers, err := service.New(m.provider, m.client, services, nodes, m.settings.Cluster, utilfeature.DefaultFeatureGate)
	if err != nil {
		return nil, fmt.Errorf("make the service controller: %w", err)
	}
	lifecycle, err := newLifecycle(nodes, m.client, m.provider)
	if err != nil {
		return nil, err
	}
	return []func(context.Context){
		func(ctx context.Context) { initializer.RunWithContext(ctx, m.metrics) },
		func(ctx context.Context) { lifecycle.run(ctx, m.metrics) },
		m.adopt,
		func(ctx context.Context) {
			if m.retain(ctx) == nil {
				balancers.Run(ctx, serviceWorkers, m.metrics)
			}
		},
	}, nil
}

// retain removes load balancers whose services are gone, as after a restore of the
// database. It runs before the service controller, which would create others. The
// error can only be the end of ctx.
func (m *controllerManager) retain(ctx context.Context) error {
	return wait.PollUntilContextCancel(ctx, retryPeriod, true, func(ctx context.Context) (bool, error) {
		uids, err := m.balanced()
		if len(uids) > cloudapi.MaxRetained {
			// Keeping addresses of deleted services does less harm than failing.
			m.settings.Log.Warn("cannot remove load balancers without a service: too many services of type LoadBalancer", "services", len(uids))
			return true, nil
		}
		if err == nil {
			err = m.settings.Cloud.Retain(ctx, uids)
		}
		if err != nil && ctx.Err() == nil {
			m.settings.Log.Warn("cannot tell the cloud which services exist, trying again", "error", err)
		}
		return err == nil, nil
	})
}

// balanced returns the UIDs of the services that have load balancers, or whose load
// balancers are still to be deleted.
func (m *controllerManager) balanced() ([]string, error) {
	all, err := m.informers.Core().V1().Services().Lister().List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	uids := []string{}
	for _, s := range all {
		if s.Spec.Type == corev1.ServiceTypeLoadBalancer || servicehelper.HasLBFinalizer(s) {
			uids = append(uids, string(s.UID))
		}
	}
	return uids, nil
}
