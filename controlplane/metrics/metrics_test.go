package metrics

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/metrics-server/pkg/scraper"
	"sigs.k8s.io/metrics-server/pkg/storage"
)

// kubelets answer with figures of pods that started at a time.
type kubelets struct {
	scraper.Scraper
	pods  int
	start time.Time
}

// Scrape implements scraper.Scraper.
func (k kubelets) Scrape(context.Context) *storage.MetricsBatch {
	now := time.Now()
	batch := &storage.MetricsBatch{Nodes: map[string]storage.MetricsPoint{}, Pods: map[types.NamespacedName]storage.PodMetricsPoint{}}
	if now.Before(k.start) {
		return batch
	}
	for i := range k.pods {
		containers := map[string]storage.MetricsPoint{}
		for _, name := range []string{"app", "side"} {
			containers[name] = storage.MetricsPoint{StartTime: k.start, Timestamp: now, CumulativeCPUUsed: uint64(now.Sub(k.start)) / 10, MemoryUsage: 1 << 20}
		}
		batch.Pods[types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("web-%d", i)}] = storage.PodMetricsPoint{Containers: containers}
	}
	return batch
}

var first = &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-0"}}

func TestAPodHasValuesTwentySecondsAfterItsStart(t *testing.T) {
	for _, late := range []time.Duration{0, time.Millisecond, 5 * time.Second, resolution - time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now().Add(time.Minute + late)
			c := &Collector{store: storage.NewStorage(resolution), scraper: kubelets{pods: 1, start: start}}
			ctx, cancel := context.WithCancel(t.Context())
			go c.Run(ctx)
			time.Sleep(time.Until(start.Add(20 * time.Second)))
			synctest.Wait()
			found, err := c.store.GetPodMetrics(first)
			if err != nil || len(found) != 1 || len(found[0].Containers) != 2 || found[0].Containers[0].Usage.Cpu().MilliValue() != 100 {
				t.Errorf("a pod that starts %s after a request: %+v, %v", late, found, err)
			}
			cancel()
			synctest.Wait()
		})
	}
}

// BenchmarkMemory reports the heap that the figures of 1,000 pods with two containers use.
func BenchmarkMemory(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range b.N {
		before := heap()
		store := storage.NewStorage(resolution)
		k := kubelets{pods: 1000, start: time.Now().Add(-time.Hour)}
		for range 3 {
			store.Store(k.Scrape(b.Context()))
		}
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		if found, err := store.GetPodMetrics(first); err != nil || len(found) != 1 {
			b.Fatal(found, err)
		}
	}
}
