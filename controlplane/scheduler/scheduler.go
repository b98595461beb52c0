// Package scheduler runs upstream's scheduler with its default profile in this
// process, under its own identity.
package scheduler

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/profile"
)

// Settings configure the scheduler.
type Settings struct {
	Client *rest.Config
}

// Run schedules until ctx ends.
func Run(ctx context.Context, s Settings) error {
	client, err := kubernetes.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("make the scheduler's client: %w", err)
	}
	dynamicClient, err := dynamic.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("make the scheduler's dynamic client: %w", err)
	}
	defaults, err := latest.Default()
	if err != nil {
		return fmt.Errorf("make the scheduler's configuration: %w", err)
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	factory := scheduler.NewInformerFactory(client, 0)
	dynamicFactory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(dynamicClient, 0, corev1.NamespaceAll, nil)

	running, err := scheduler.New(ctx, client, factory, dynamicFactory, recorders(broadcaster), options(defaults, s.Client)...)
	if err != nil {
		return fmt.Errorf("build the scheduler: %w", err)
	}
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return fmt.Errorf("record the scheduler's events: %w", err)
	}
	defer broadcaster.Shutdown()
	if err := synced(ctx, running, factory, dynamicFactory); err != nil {
		return err
	}
	running.Run(ctx)
	return nil
}

// synced starts the informers and waits until the scheduler has seen all objects.
func synced(ctx context.Context, s *scheduler.Scheduler, factory informers.SharedInformerFactory, dynamicFactory dynamicinformer.DynamicSharedInformerFactory) error {
	factory.StartWithContext(ctx)
	dynamicFactory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	dynamicFactory.WaitForCacheSync(ctx.Done())
	if err := s.WaitForHandlersSync(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("fill the scheduler's caches: %w", err)
	}
	return nil
}

func recorders(b events.EventBroadcaster) profile.RecorderFactory {
	return func(name string) events.EventRecorderLogger { return b.NewRecorder(scheme.Scheme, name) }
}

func options(c *config.KubeSchedulerConfiguration, client *rest.Config) []scheduler.Option {
	return []scheduler.Option{
		scheduler.WithComponentConfigVersion(c.APIVersion),
		scheduler.WithKubeConfig(client),
		scheduler.WithProfiles(c.Profiles...),
		scheduler.WithPercentageOfNodesToScore(c.PercentageOfNodesToScore),
		scheduler.WithPodInitialBackoffSeconds(c.PodInitialBackoffSeconds),
		scheduler.WithPodMaxBackoffSeconds(c.PodMaxBackoffSeconds),
		scheduler.WithParallelism(c.Parallelism),
	}
}
