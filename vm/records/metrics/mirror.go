package metrics

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Pauses between attempts to reach the API. They are longer for monitors, because most
// clusters do not have the definitions of monitors.
var (
	podsBackoff     = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.5, Cap: 15 * time.Second, Steps: 10}
	monitorsBackoff = wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Cap: 30 * time.Second, Steps: 10}
)

// mirror keeps the fields that are used of the cluster's objects of a kind, of which there
// may be thousands. It does not change while the API cannot be reached.
type mirror[T any] struct {
	// reduce returns the fields that are used of an object.
	reduce func(object any) (T, error)

	mu     sync.Mutex // guards byName
	byName map[types.NamespacedName]T
}

var _ cache.ReflectorStore = (*mirror[int])(nil)

// all returns all objects, sorted by namespace and name.
func (m *mirror[T]) all() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := slices.SortedFunc(maps.Keys(m.byName), func(a, b types.NamespacedName) int {
		if byNamespace := strings.Compare(a.Namespace, b.Namespace); byNamespace != 0 {
			return byNamespace
		}
		return strings.Compare(a.Name, b.Name)
	})
	all := make([]T, 0, len(names))
	for _, name := range names {
		all = append(all, m.byName[name])
	}
	return all
}

// follow watches objects like kind until ctx ends.
func (m *mirror[T]) follow(ctx context.Context, from cache.ListerWatcher, kind any, backoff wait.Backoff) {
	silent := logr.Discard()
	reflector := cache.NewReflectorWithOptions(from, kind, m, cache.ReflectorOptions{Name: "metrics", Backoff: &backoff, Logger: &silent})
	reflector.RunWithContext(klog.NewContext(ctx, silent))
}

// nameOf returns the name of an object. It is a copy, so that it does not keep the object.
func nameOf(object any) (types.NamespacedName, error) {
	of, err := meta.Accessor(object)
	if err != nil {
		return types.NamespacedName{}, err
	}
	return types.NamespacedName{Namespace: strings.Clone(of.GetNamespace()), Name: strings.Clone(of.GetName())}, nil
}

// Add stores an object.
func (m *mirror[T]) Add(object any) error { return m.Update(object) }

// Update stores an object.
func (m *mirror[T]) Update(object any) error {
	name, err := nameOf(object)
	if err != nil {
		return err
	}
	reduced, err := m.reduce(object)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byName == nil {
		m.byName = map[types.NamespacedName]T{}
	}
	m.byName[name] = reduced
	return nil
}

// Delete removes an object.
func (m *mirror[T]) Delete(object any) error {
	name, err := nameOf(object)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byName, name)
	return nil
}

// Replace stores these objects only.
func (m *mirror[T]) Replace(list []any, _ string) error {
	byName := make(map[types.NamespacedName]T, len(list))
	for _, object := range list {
		name, err := nameOf(object)
		if err != nil {
			return err
		}
		if byName[name], err = m.reduce(object); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byName = byName
	return nil
}

// Resync does nothing, because there are no event handlers.
func (m *mirror[T]) Resync() error { return nil }
