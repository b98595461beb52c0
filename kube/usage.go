package kube

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// usageInterval is how often kubelets are queried. They measure every ten seconds.
const usageInterval = 10 * time.Second

// summary holds the decoded fields of a kubelet's /stats/summary
// (k8s.io/kubelet/pkg/apis/stats/v1alpha1).
type summary struct {
	Node measurement   `json:"node"`
	Pods []measurement `json:"pods"`
}

type measurement struct {
	Name   string `json:"name"`
	PodRef struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"podRef"`
	CPU struct {
		UsageNanoCores int64 `json:"usageNanoCores"`
	} `json:"cpu"`
	Memory struct {
		WorkingSetBytes int64 `json:"workingSetBytes"`
	} `json:"memory"`
	Network struct {
		RxBytes uint64 `json:"rxBytes"`
		TxBytes uint64 `json:"txBytes"`
	} `json:"network"`
	Fs struct {
		UsedBytes     int64 `json:"usedBytes"`
		CapacityBytes int64 `json:"capacityBytes"`
	} `json:"fs"`
	Containers []measurement `json:"containers"`
}

// maxSummary bounds a kubelet's response, in bytes.
const maxSummary = 32 << 20

// usage delivers the resource usage of nodes, pods and containers.
func (c *Client) usage(ctx context.Context, emit func(any)) {
	var before feed.Stats
	feed.Poll(ctx, usageInterval, requestLimit, func(ctx context.Context) {
		stats := feed.Stats{Cluster: c.name, Nodes: map[string]feed.ResourceUsage{}, Pods: map[string]feed.ResourceUsage{}, Containers: map[string]feed.ResourceUsage{}}
		nodes, err := c.typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			before.Freshness = freshness(err, before.At)
			emit(before)
			return
		}
		var mu sync.Mutex // guards stats
		var group sync.WaitGroup
		slots := make(chan struct{}, 8)
		for _, n := range nodes.Items {
			group.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				s, err := c.summary(ctx, n.Name)
				if err != nil {
					return // the node has no usage in this delivery
				}
				mu.Lock()
				defer mu.Unlock()
				s.addTo(stats, before, n.Name, time.Now())
			})
		}
		group.Wait()
		stats.Freshness = object.Freshness{State: object.Live, At: time.Now()}
		emit(stats)
		before = stats
	})
}

func (c *Client) summary(ctx context.Context, node string) (summary, error) {
	var s summary
	ctx, cancel := context.WithTimeout(ctx, usageInterval/2)
	defer cancel()
	content, err := c.raw.Get().AbsPath("/api/v1/nodes", node, "proxy/stats/summary").MaxRetries(0).DoRaw(ctx)
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(content[:min(len(content), maxSummary)], &s)
	return s, err
}

func (s summary) addTo(stats, before feed.Stats, node string, now time.Time) {
	stats.Nodes[node] = s.Node.usage(before.Nodes[node], now)
	for _, p := range s.Pods {
		key := p.PodRef.Namespace + "/" + p.PodRef.Name
		stats.Pods[key] = p.usage(before.Pods[key], now)
		for _, c := range p.Containers {
			stats.Containers[key+"/"+c.Name] = c.usage(feed.ResourceUsage{}, now)
		}
	}
}

// usage converts a measurement, with rates since the one before.
func (m measurement) usage(before feed.ResourceUsage, now time.Time) feed.ResourceUsage {
	u := feed.ResourceUsage{
		MilliCPU: m.CPU.UsageNanoCores / 1e6, MemoryBytes: m.Memory.WorkingSetBytes,
		DiskBytes: m.Fs.UsedBytes, DiskTotal: m.Fs.CapacityBytes,
		ReceivedBytes: m.Network.RxBytes, SentBytes: m.Network.TxBytes, At: now,
	}
	if seconds := now.Sub(before.At).Seconds(); !before.At.IsZero() && seconds > 0 {
		u.ReceivedPerS = rate(before.ReceivedBytes, u.ReceivedBytes, seconds)
		u.SentPerS = rate(before.SentBytes, u.SentBytes, seconds)
	}
	return u
}

func rate(before, after uint64, seconds float64) float64 {
	if after < before { // the counter was reset
		return 0
	}
	return float64(after-before) / seconds
}
