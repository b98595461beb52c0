// Package controllers keeps Kubernetes' own control loops running: upstream's
// controller manager in this process, each controller under its own service
// account and role.
package controllers

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apiserver/pkg/server/healthz"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app/config"
	controllernames "k8s.io/kubernetes/cmd/kube-controller-manager/names"
	"sync"

	"github.com/skiff-dev/skiff/controlplane/transport"
	"github.com/skiff-dev/skiff/internal/names"
)

// Workers of the controllers that are put together here; upstream's defaults
// are for larger clusters.
const (
	tokenWorkers  = 2
	policyWorkers = 1
)

// Run runs the controllers until ctx ends. It can be called once in a process:
// upstream registers its informers by name.
func Run(ctx context.Context, s Settings, memory *transport.Server) error {
	c, err := configuration(ctx, s)
	if err != nil {
		return err
	}
	root := clients{config: func(string) *rest.Config { return memory.Client(transport.User(names.UserControllerManager)) }}
	each := clients{config: func(name string) *rest.Config { return memory.Client(transport.ServiceAccount(name)) }}

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
	tokens, err := tokenController(ctx, s, shared, root)
	if err != nil {
		return err
	}
	policies, err := policyStatusController(shared)
	if err != nil {
		return err
	}
	descriptors := app.NewControllerDescriptors()
	delete(descriptors, controllernames.ServiceAccountTokenController)             // tokens
	delete(descriptors, controllernames.ValidatingAdmissionPolicyStatusController) // policies
	built, err := app.BuildControllers(ctx, shared, descriptors, nil, ignoreChecks{})
	if err != nil {
		return fmt.Errorf("build the controllers: %w", err)
	}
	shared.InformerFactory.StartWithContext(ctx)
	defer shared.InformerFactory.Shutdown()
	shared.ObjectOrMetadataInformerFactory.Start(ctx.Done())
	close(shared.InformersStarted)

	var running sync.WaitGroup
	running.Go(func() { tokens.Run(ctx, tokenWorkers) })
	running.Go(func() { policies.Run(ctx, policyWorkers) })
	defer running.Wait()
	if !app.RunControllers(ctx, shared, built, app.ControllerStartJitter, c.ControllerShutdownTimeout) {
		return errors.New("some controllers did not end in time")
	}
	return nil
}

func configuration(ctx context.Context, s Settings) (*config.CompletedConfig, error) {
	o, err := Options(s)
	if err != nil {
		return nil, fmt.Errorf("make the controllers' options: %w", err)
	}
	// Never dialled: every client below is made from memory.
	o.Master = "https://localhost"
	c, err := o.Config(ctx, app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases())
	if err != nil {
		return nil, fmt.Errorf("configure the controllers: %w", err)
	}
	return c.Complete(), nil
}

// ignoreChecks takes the controllers' health checks, all of which always pass
// unless a controller asks for more; none that runs here does.
type ignoreChecks struct{}

// AddHealthChecker implements app.HealthCheckAdder.
func (ignoreChecks) AddHealthChecker(...healthz.HealthChecker) {}
