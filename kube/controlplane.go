package kube

import (
	"context"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

const controlPlaneInterval = 3 * time.Second

// controlPlane delivers the status of the control plane.
func (c *Client) controlPlane(ctx context.Context, emit func(any)) {
	last := feed.ControlPlaneStatus{Cluster: c.name}
	var requests rateCounter
	feed.Poll(ctx, controlPlaneInterval, requestLimit, func(ctx context.Context) {
		start := time.Now()
		text, err := c.raw.Get().AbsPath("/readyz").Param("verbose", "true").MaxRetries(0).DoRaw(ctx)
		if len(text) == 0 && err != nil {
			last.Freshness = freshness(err, last.At)
			emit(last)
			return
		}
		next := feed.ControlPlaneStatus{Cluster: c.name, Latency: time.Since(start), Checks: checks(string(text))}
		next.Freshness = object.Freshness{State: object.Live, At: time.Now()}
		if v, err := c.typed.Discovery().ServerVersion(); err == nil {
			next.Version = v.GitVersion
		}
		next.Leases = c.leases(ctx)
		next.Members = c.members(ctx, next.Leases)
		next.Certs = c.certificates(ctx)
		if metrics, err := c.raw.Get().AbsPath("/metrics").MaxRetries(0).DoRaw(ctx); err == nil {
			readMetrics(metrics, &next, &requests)
		}
		emit(next)
		last = next
	})
}

// checks parses lines such as "[+]etcd ok" and "[-]etcd failed: reason withheld".
func checks(text string) []feed.Check {
	var found []feed.Check
	for _, l := range strings.Split(text, "\n") {
		if len(l) < 4 || l[0] != '[' || l[2] != ']' {
			continue
		}
		name, state, _ := strings.Cut(l[3:], " ")
		found = append(found, feed.Check{Name: oneLine(name), OK: l[1] == '+', Text: oneLine(state)})
	}
	return found
}

func (c *Client) leases(ctx context.Context) []feed.Lease {
	list, err := c.typed.CoordinationV1().Leases("kube-system").List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil
	}
	var found []feed.Lease
	for _, l := range list.Items {
		if l.Spec.HolderIdentity == nil || strings.HasPrefix(l.Name, "apiserver-") {
			continue
		}
		lease := feed.Lease{Name: l.Name, Holder: oneLine(*l.Spec.HolderIdentity)}
		if l.Spec.RenewTime != nil {
			lease.Renewed = l.Spec.RenewTime.Time
		}
		if l.Spec.LeaseDurationSeconds != nil {
			lease.Duration = time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second
		}
		found = append(found, lease)
	}
	return found
}
