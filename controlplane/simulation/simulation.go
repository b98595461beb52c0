// Package simulation finds out, by upstream's scheduler plugins and without changing
// anything, on which nodes pods would fit.
package simulation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/controlplane/informing"
	"github.com/skiff-dev/skiff/internal/names"
)

// expendable is the priority below which pods get no new nodes, and do not keep any. It is
// the default of upstream's cluster-autoscaler.
const expendable = -10

// Settings of a Simulator.
type Settings struct {
	// Profiles are those of the scheduler.
	Profiles []config.KubeSchedulerProfile
	Client   kubernetes.Interface
	Config   *rest.Config
	// Informers are those of the scheduler, which run.
	Informers informers.SharedInformerFactory
	// Handle is what the scheduler's plugins share.
	Handle fwk.Handle
}

// Simulator answers requests, one at a time. It takes what it needs when the first one
// comes, so it costs nothing in a cluster that is not scaled.
type Simulator struct {
	settings Settings
	life     context.Context // of the plugins

	mu       sync.Mutex // held by Room; guards what follows
	profiles map[string]framework.Framework
	view     *view
}

// New returns a Simulator whose plugins live as long as ctx.
func New(ctx context.Context, s Settings) *Simulator { return &Simulator{settings: s, life: ctx} }

// start makes plugins of the scheduler's profiles that see the simulator's world.
func (s *Simulator) start(ctx context.Context) error {
	if s.profiles != nil {
		return nil
	}
	s.view = &view{SharedLister: cache.NewEmptySnapshot()}
	profiles := map[string]framework.Framework{}
	for _, profile := range s.settings.Profiles {
		scheduler := profile.SchedulerName
		// Plugins name their indexes of the informers after the profile, and the scheduler's exist.
		profile.SchedulerName += "-simulation"
		f, err := runtime.NewFramework(s.life, plugins.NewInTreeRegistry(), &profile,
			runtime.WithClientSet(s.settings.Client), runtime.WithKubeConfig(s.settings.Config),
			runtime.WithInformerFactory(s.settings.Informers), runtime.WithSnapshotSharedLister(s.view),
			runtime.WithSharedDRAManager(s.settings.Handle.SharedDRAManager()), runtime.WithSharedCSIManager(s.settings.Handle.SharedCSIManager()),
		)
		if err != nil {
			return fmt.Errorf("make plugins for a simulation: %w", err)
		}
		profiles[scheduler] = f
	}
	_ = s.settings.Informers.Policy().V1().PodDisruptionBudgets().Informer()
	informing.Start(s.life, s.settings.Informers)
	for kind, synced := range s.settings.Informers.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("list %s for a simulation: %w", kind, context.Cause(ctx))
		}
	}
	s.profiles = profiles
	return nil
}

// Room answers a request by what the scheduler's caches contain.
func (s *Simulator) Room(ctx context.Context, r controlapi.RoomRequest) (controlapi.Room, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(ctx); err != nil {
		return controlapi.Room{}, err
	}
	core := s.settings.Informers.Core().V1()
	pods, err := core.Pods().Lister().List(labels.Everything())
	if err != nil {
		return controlapi.Room{}, fmt.Errorf("list pods for a simulation: %w", err)
	}
	nodes, err := core.Nodes().Lister().List(labels.Everything())
	if err != nil {
		return controlapi.Room{}, fmt.Errorf("list nodes for a simulation: %w", err)
	}
	// Pods do not move to nodes without a machine.
	nodes = slices.DeleteFunc(nodes, func(n *corev1.Node) bool { return names.Simulated(n.Labels) })
	budgets, err := s.settings.Informers.Policy().V1().PodDisruptionBudgets().Lister().List(labels.Everything())
	if err != nil {
		return controlapi.Room{}, fmt.Errorf("list disruption budgets for a simulation: %w", err)
	}
	return s.room(ctx, r, observed{nodes, pods, budgets})
}

// observed are the objects on which an answer depends.
type observed struct {
	nodes   []*corev1.Node
	pods    []*corev1.Pod
	budgets []*policyv1.PodDisruptionBudget
}

func (s *Simulator) room(ctx context.Context, r controlapi.RoomRequest, o observed) (controlapi.Room, error) {
	templates, err := newTemplates(r, o)
	if err != nil {
		return controlapi.Room{}, err
	}
	standing := slices.DeleteFunc(slices.Clone(o.nodes), func(n *corev1.Node) bool {
		return slices.ContainsFunc(r.Coming, func(coming controlapi.RoomNode) bool { return coming.Name == n.Name })
	})
	s.view.now = newWorld(standing, o.pods)
	for _, coming := range r.Coming {
		if err := s.open(ctx, templates, coming); err != nil {
			return controlapi.Room{}, err
		}
	}
	var answer controlapi.Room
	pending := s.pending(o.pods)
	for i := range pending {
		pending[i].placed = s.place(ctx, pending[i].pod, s.view.now.nodes) == nil
	}
	if answer.Needs, err = s.needs(ctx, r, templates, unplaced(pending)); err != nil {
		return answer, err
	}
	if len(answer.Needs) == 0 {
		answer.Unfit = references(unplaced(pending), maxReferences)
		for i := range answer.Unfit {
			answer.Unfit[i].Reason = s.whyUnfit(ctx, r, templates, unplaced(pending)[i].pod)
		}
		for _, name := range r.Candidates {
			answer.Spare = append(answer.Spare, s.spare(ctx, name, o.budgets))
		}
	}
	return answer, context.Cause(ctx)
}

// maxReferences bounds how many pods an answer names, for each group and of those that fit
// nowhere.
const maxReferences = 50

// waiting is a pod that cannot be scheduled.
type waiting struct {
	pod    *corev1.Pod
	placed bool
}

func unplaced(all []waiting) []waiting {
	return slices.DeleteFunc(slices.Clone(all), func(w waiting) bool { return w.placed })
}

func references(all []waiting, most int) []controlapi.PodReference {
	var named []controlapi.PodReference
	for _, w := range all[:min(len(all), most)] {
		named = append(named, controlapi.PodReference{Namespace: w.pod.Namespace, Name: w.pod.Name, UID: string(w.pod.UID)})
	}
	return named
}

// pending returns the pods that the scheduler could not place, those of the highest priority
// first. Pods for which others are preempted get their room as soon as these are gone.
func (s *Simulator) pending(pods []*corev1.Pod) []waiting {
	var all []waiting
	for _, pod := range pods {
		switch {
		case pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || priority(pod) < expendable || s.profiles[pod.Spec.SchedulerName] == nil:
		case pod.Status.NominatedNodeName != "" && s.view.now.find(pod.Status.NominatedNodeName) != nil:
			s.view.now.find(pod.Status.NominatedNodeName).AddPod(assigned(pod, pod.Status.NominatedNodeName))
		case unschedulable(pod):
			all = append(all, waiting{pod: pod})
		}
	}
	slices.SortFunc(all, func(a, b waiting) int {
		return cmp.Or(
			cmp.Compare(priority(b.pod), priority(a.pod)), a.pod.CreationTimestamp.Compare(b.pod.CreationTimestamp.Time),
			cmp.Compare(a.pod.Namespace, b.pod.Namespace), cmp.Compare(a.pod.Name, b.pod.Name),
		)
	})
	return all
}

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

func unschedulable(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
	})
}

// assigned returns a copy of a pod that runs on a node.
func assigned(pod *corev1.Pod, node string) *corev1.Pod {
	pod = pod.DeepCopy()
	pod.Spec.NodeName = node
	return pod
}

// place puts a pod on the first of the nodes on which it fits. Otherwise it returns why it
// does not fit on the last one.
func (s *Simulator) place(ctx context.Context, pod *corev1.Pod, nodes []fwk.NodeInfo) *fwk.Status {
	f := s.profiles[pod.Spec.SchedulerName]
	if f == nil {
		return fwk.NewStatus(fwk.Unschedulable, "no scheduler named "+pod.Spec.SchedulerName)
	}
	state := framework.NewCycleState()
	only, why, _ := f.RunPreFilterPlugins(ctx, state, pod)
	if !why.IsSuccess() {
		return why
	}
	why = fwk.NewStatus(fwk.Unschedulable, "the cluster has no nodes")
	for _, info := range nodes {
		name := info.Node().Name
		if !only.AllNodes() && !only.NodeNames.Has(name) {
			continue
		}
		if why = f.RunFilterPlugins(ctx, state, pod, info); why.IsSuccess() {
			s.view.now.find(name).AddPod(assigned(pod, name))
			return nil
		}
	}
	return why
}
