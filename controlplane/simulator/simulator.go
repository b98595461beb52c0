// Package simulator keeps simulated nodes and their pods alive: nodes without a machine,
// with the label that kwok's users give them. It is kwok's controller with kwok's own
// stages, and runs only while there is such a node.
package simulator

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	heartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/apis/v1alpha1"
	"sigs.k8s.io/kwok/pkg/kwok/controllers"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/skiff-dev/skiff/internal/names"
)

// leaseSeconds is written to the leases of simulated nodes. kwok renews them after a quarter
// of it, so that one of two renewals may fail before the node controller, which waits for
// 40 s and ignores this number, considers a node lost.
const leaseSeconds = 60

// Numbers of kwok's workers, each of which waits for one request at a time. Its default is 4.
// If a request takes 250 ms on a busy host, 4 workers renew 16 leases per second, and of 1,000
// nodes most are lost after 40 s, with their pods. Of 64 workers, most are idle otherwise.
const (
	stageWorkers = 16
	leaseWorkers = 64
	syncWorkers  = 4
)

// identity holds the leases of simulated nodes. It is the same for every control plane,
// because only one simulates at a time, and the next must not wait for leases to expire.
const identity = "skiff-simulator"

// Settings configure the simulator.
type Settings struct {
	// Client has the simulator's identity.
	Client *rest.Config
	Log    *slog.Logger
}

// Run simulates until ctx ends.
func Run(ctx context.Context, s Settings) error {
	client, err := metadata.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("make the simulator's client: %w", err)
	}
	nodes := metadatainformer.NewFilteredMetadataInformer(client, schema.GroupVersionResource{Version: "v1", Resource: "nodes"},
		metav1.NamespaceNone, 0, nil, func(o *metav1.ListOptions) { o.LabelSelector = names.SimulatedSelector }).Informer()
	changed := make(chan struct{}, 1)
	signal := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	if _, err := nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { signal() }, DeleteFunc: func(any) { signal() }}); err != nil {
		return fmt.Errorf("watch simulated nodes: %w", err)
	}
	var informing sync.WaitGroup
	informing.Go(func() { nodes.RunWithContext(ctx) })
	defer informing.Wait()
	var stop context.CancelFunc // nil if nothing is simulated
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		switch wanted := len(nodes.GetStore().ListKeys()) > 0; {
		case wanted && stop == nil:
			s.Log.Info("simulating nodes")
			if stop, err = start(ctx, s); err != nil {
				return err
			}
		case !wanted && stop != nil:
			s.Log.Info("no simulated nodes are left")
			stop()
			stop = nil
		}
	}
}

// start starts kwok's controller, whose goroutines end with ctx or after stop.
func start(ctx context.Context, s Settings) (stop context.CancelFunc, err error) {
	controller, err := newController(s)
	if err != nil {
		return nil, err
	}
	ctx, stop = context.WithCancel(ctx)
	// It reports each change of each object as information.
	if err := controller.Start(log.NewContext(ctx, log.NewLogger(newLines(s.Log), log.LevelWarn))); err != nil {
		stop()
		return nil, fmt.Errorf("start kwok's controller: %w", err)
	}
	return stop, nil
}

func newController(s Settings) (*controllers.Controller, error) {
	config := rest.CopyConfig(s.Client)
	config.QPS = -1
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make kwok's client: %w", err)
	}
	untyped, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make kwok's dynamic client: %w", err)
	}
	all, err := stages()
	if err != nil {
		return nil, err
	}
	controller, err := controllers.NewController(controllers.Config{
		TypedClient: client{typed}, DynamicClient: untyped, RESTClient: typed.RESTClient(),
		ManageNodesWithLabelSelector: names.SimulatedSelector,
		LocalStages:                  all,
		CIDR:                         names.SimulatedPods,
		ID:                           identity,
		NodeLeaseDurationSeconds:     leaseSeconds, NodeLeaseParallelism: leaseWorkers,
		NodePlayStageParallelism: stageWorkers, PodPlayStageParallelism: stageWorkers,
		PodsOnNodeSyncParallelism: syncWorkers, EnablePodsOnNodeSyncListPager: true,
	})
	if err != nil {
		return nil, fmt.Errorf("make kwok's controller: %w", err)
	}
	return controller, nil
}

// lines writes kwok's log entries, which are JSON, as warnings. It plays a stage twice on pods that
// change or are listed while it does, and the API server refuses each second change, so
// entries beyond some are left out.
type lines struct {
	log   *slog.Logger
	often *rate.Sometimes
}

func newLines(log *slog.Logger) lines {
	return lines{log, &rate.Sometimes{First: 20, Interval: 10 * time.Second}}
}

// Write implements io.Writer.
func (l lines) Write(entry []byte) (int, error) {
	l.often.Do(func() { l.log.Warn("kwok", "entry", string(entry)) })
	return len(entry), nil
}

// stages returns kwok's default stages by the resource that they change: nodes become
// Ready and keep a lease, pods become Ready, complete if they belong to a Job, and are
// deleted.
func stages() (map[internalversion.StageResourceRef][]*internalversion.Stage, error) {
	all := map[internalversion.StageResourceRef][]*internalversion.Stage{}
	for _, text := range []string{
		nodefast.DefaultNodeInit, heartbeat.DefaultNodeHeartbeatWithLease,
		podfast.DefaultPodReady, podfast.DefaultPodComplete, podfast.DefaultPodDelete,
	} {
		var stage v1alpha1.Stage
		if err := yaml.UnmarshalStrict([]byte(text), &stage); err != nil {
			return nil, fmt.Errorf("decode a stage of kwok: %w", err)
		}
		v1alpha1.SetObjectDefaults_Stage(&stage)
		converted, err := internalversion.ConvertToInternalStage(&stage)
		if err != nil {
			return nil, fmt.Errorf("convert stage %s of kwok: %w", stage.Name, err)
		}
		all[converted.Spec.ResourceRef] = append(all[converted.Spec.ResourceRef], converted)
	}
	return all, nil
}
