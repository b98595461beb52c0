package fleet

import (
	"context"
	"sync"

	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/offline"
)

// PKI describes the cluster's authorities and the certificates of the host and of the nodes
// that answer.
func (f *Fleet) PKI(ctx context.Context) (daemonapi.PKI, error) {
	var mu sync.Mutex
	var held []daemonapi.Certificate
	f.nodes.each(ctx, func(n cluster.Node) {
		ctx, cancel := context.WithTimeout(ctx, pollAttempt)
		defer cancel()
		status, err := f.nodes.client(n).Status(ctx)
		if err != nil {
			return // a node that does not answer is shown by "skiff status"
		}
		mu.Lock()
		defer mu.Unlock()
		for _, c := range status.Certificates {
			held = append(held, daemonapi.Certificate{Node: n.Name, Name: c.Name, Subject: c.Subject, Expires: c.Expires, Issuer: c.Issuer})
		}
	})
	return offline.DescribePKI(f.credentials.Current(), held)
}
