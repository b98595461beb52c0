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
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	schedulerscheme "k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
	"k8s.io/kubernetes/pkg/scheduler/profile"

	"github.com/skiff-dev/skiff/controlplane/informing"
	"github.com/skiff-dev/skiff/controlplane/simulation"
)

// Settings configure the scheduler.
type Settings struct {
	Client *rest.Config
	// Config is the user's KubeSchedulerConfiguration; empty for upstream's defaults.
	Config map[string]any
	// Running is called with what simulates the scheduler, once that schedules; nil for none.
	Running func(*simulation.Simulator)
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
	if s.Running != nil {
		s.Running(b.simulator(ctx, s.Client))
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
	client         kubernetes.Interface
	config         *config.KubeSchedulerConfiguration
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
		client: client, config: c,
		broadcaster:    events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()}),
		factory:        newInformers(client),
		dynamicFactory: dynamicinformer.NewFilteredDynamicSharedInformerFactory(dynamicClient, 0, corev1.NamespaceAll, nil),
	}
	b.scheduler, err = scheduler.New(ctx, client, b.factory, b.dynamicFactory, profile.NewRecorderFactory(b.broadcaster), options(c, s.Client)...)
	if err != nil {
		return built{}, fmt.Errorf("build the scheduler: %w", err)
	}
	return b, nil
}

// simulator returns what simulates the scheduler by the same informers.
func (b built) simulator(ctx context.Context, config *rest.Config) *simulation.Simulator {
	return simulation.New(ctx, simulation.Settings{
		Profiles: b.config.Profiles, Client: b.client, Config: config, Informers: b.factory,
		Handle: b.scheduler.Profiles[b.config.Profiles[0].SchedulerName],
	})
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
	informing.Start(ctx, factory)
	dynamicFactory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	dynamicFactory.WaitForCacheSync(ctx.Done())
	if err := s.WaitForHandlersSync(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("fill the scheduler's caches: %w", err)
	}
	return nil
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
