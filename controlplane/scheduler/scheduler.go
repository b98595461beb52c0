// Package scheduler runs upstream's scheduler in this process, under its own
// identity.
package scheduler

import (
	"context"
	"encoding/json"
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
	schedulerscheme "k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
	"k8s.io/kubernetes/pkg/scheduler/profile"
)

// Settings configure the scheduler.
type Settings struct {
	Client *rest.Config
	// Config is the user's KubeSchedulerConfiguration; empty for upstream's defaults.
	Config map[string]any
}

// Run schedules until ctx ends.
func Run(ctx context.Context, s Settings) error {
	b, err := build(ctx, s)
	if err != nil {
		return err
	}
	if err := b.broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return fmt.Errorf("record the scheduler's events: %w", err)
	}
	defer b.broadcaster.Shutdown()
	if err := synced(ctx, b.scheduler, b.factory, b.dynamicFactory); err != nil {
		return err
	}
	b.scheduler.Run(ctx)
	return nil
}

// Check returns an error if Run would fail because of the user's settings.
func Check(ctx context.Context, s Settings) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, err := build(ctx, s)
	if err != nil {
		return err
	}
	b.broadcaster.Shutdown()
	return nil
}

// built is a scheduler that is not running.
type built struct {
	scheduler      *scheduler.Scheduler
	broadcaster    events.EventBroadcaster
	factory        informers.SharedInformerFactory
	dynamicFactory dynamicinformer.DynamicSharedInformerFactory
}

// build makes a scheduler without sending a request.
func build(ctx context.Context, s Settings) (built, error) {
	client, err := kubernetes.NewForConfig(s.Client)
	if err != nil {
		return built{}, fmt.Errorf("make the scheduler's client: %w", err)
	}
	dynamicClient, err := dynamic.NewForConfig(s.Client)
	if err != nil {
		return built{}, fmt.Errorf("make the scheduler's dynamic client: %w", err)
	}
	c, err := configuration(s.Config)
	if err != nil {
		return built{}, fmt.Errorf("make the scheduler's configuration: %w", err)
	}
	b := built{
		broadcaster:    events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()}),
		factory:        scheduler.NewInformerFactory(client, 0),
		dynamicFactory: dynamicinformer.NewFilteredDynamicSharedInformerFactory(dynamicClient, 0, corev1.NamespaceAll, nil),
	}
	b.scheduler, err = scheduler.New(ctx, client, b.factory, b.dynamicFactory, recorders(b.broadcaster), options(c, s.Client)...)
	if err != nil {
		return built{}, fmt.Errorf("build the scheduler: %w", err)
	}
	return b, nil
}

// configuration decodes and checks the user's configuration as upstream's program does.
func configuration(user map[string]any) (*config.KubeSchedulerConfiguration, error) {
	if len(user) == 0 {
		return latest.Default()
	}
	content, err := json.Marshal(user)
	if err != nil {
		return nil, err
	}
	object, kind, err := schedulerscheme.Codecs.UniversalDecoder().Decode(content, nil, nil)
	if err != nil {
		return nil, err
	}
	c, ok := object.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("it is a %s, not a KubeSchedulerConfiguration", kind)
	}
	// Conversion clears the version.
	c.APIVersion = kind.GroupVersion().String()
	if err := validation.ValidateKubeSchedulerConfiguration(c); err != nil {
		return nil, err
	}
	return c, nil
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
		scheduler.WithExtenders(c.Extenders...),
	}
}
