// Package controllers runs upstream's controller manager in this process. Each
// controller has its own service account and role.
package controllers

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apiserver/pkg/server/healthz"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/config"
	controllernames "k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/skiff-dev/skiff/controlplane/informing"
	"github.com/skiff-dev/skiff/controlplane/transport"
	"github.com/skiff-dev/skiff/internal/names"
)

// Numbers of workers of the controllers that this package builds. Upstream's defaults
// suit larger clusters.
const (
	tokenWorkers     = 2
	policyWorkers    = 1
	publisherWorkers = 1
)

// Run runs the controllers until ctx ends. A process can call it only once, because
// upstream registers its informers by name.
func Run(ctx context.Context, s Settings, memory *transport.Server) error {
	c, err := configuration(ctx, s)
	if err != nil {
		return err
	}
	root := clients{config: func(string) *rest.Config { return memory.Client(transport.User(names.UserControllerManager)) }}
	var still standstill
	each := clients{config: func(name string) *rest.Config {
		return still.guard(name, memory.Client(transport.ServiceAccount(name)))
	}}

	eventClient, err := root.Client("event-broadcaster")
	if err != nil {
		return fmt.Errorf("make the controllers' event client: %w", err)
	}
	c.EventBroadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: eventClient.CoreV1().Events("")})
	defer c.EventBroadcaster.Shutdown()

	shared, err := app.CreateControllerContext(ctx, c, root, each)
	if err != nil {
		return fmt.Errorf("prepare the controllers: %w", err)
	}
	trusting, err := openTrusting(ctx, shared, root)
	if err != nil {
		return err
	}
	policies, err := policyStatusController(shared)
	if err != nil {
		return err
	}
	built, err := build(ctx, shared)
	if err != nil {
		return fmt.Errorf("build the controllers: %w", err)
	}
	informing.Start(ctx, shared.InformerFactory)
	defer shared.InformerFactory.Shutdown()
	shared.ObjectOrMetadataInformerFactory.Start(ctx.Done())
	close(shared.InformersStarted)

	var running sync.WaitGroup
	running.Go(func() { still.run(ctx) })
	running.Go(func() { trusting.run(ctx) })
	running.Go(func() { policies.Run(ctx, policyWorkers) })
	defer running.Wait()
	if !app.RunControllers(ctx, shared, built, app.ControllerStartJitter, c.ControllerShutdownTimeout) {
		return fmt.Errorf("some controllers did not stop within %s", c.ControllerShutdownTimeout)
	}
	return nil
}

// build builds upstream's controllers, except those that Run builds.
func build(ctx context.Context, shared app.ControllerContext) ([]app.Controller, error) {
	descriptors, ranges := app.NewControllerDescriptors(), map[string]*app.ControllerDescriptor{}
	for _, name := range trustingControllers() {
		delete(descriptors, name)
	}
	delete(descriptors, controllernames.ValidatingAdmissionPolicyStatusController)
	for _, name := range podRangeControllers() {
		ranges[name] = descriptors[name]
		delete(descriptors, name)
	}
	built, err := app.BuildControllers(ctx, shared, descriptors, nil, ignoreChecks{})
	if err != nil {
		return nil, err
	}
	more, err := app.BuildControllers(ctx, withoutSimulated(shared), ranges, nil, ignoreChecks{})
	return append(built, more...), err
}

// Check returns an error if Run would fail because of the user's settings.
func Check(ctx context.Context, s Settings) error {
	_, err := configuration(ctx, s)
	return err
}

func configuration(ctx context.Context, s Settings) (*config.CompletedConfig, error) {
	o, err := Options(s)
	if err != nil {
		return nil, fmt.Errorf("make the controllers' options: %w", err)
	}
	// It is never dialed: all clients connect through memory.
	o.Master = "https://localhost"
	c, err := o.Config(ctx, app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases())
	if err != nil {
		return nil, fmt.Errorf("configure the controllers: %w", err)
	}
	return c.Complete(), nil
}

// ignoreChecks discards the controllers' health checks, which always pass: no
// controller that runs here has one of its own.
type ignoreChecks struct{}

// AddHealthChecker implements app.HealthCheckAdder.
func (ignoreChecks) AddHealthChecker(...healthz.HealthChecker) {}
