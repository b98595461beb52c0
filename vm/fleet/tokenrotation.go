package fleet

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// renewTokens lets the control plane replace old tokens in secrets.
func (r *authorityRotation) renewTokens(ctx context.Context, progress pki.Rotation) error {
	prefix, err := oldPrefix(progress)
	if err != nil || prefix == "" {
		return err
	}
	return r.api.kube.RenewTokens(ctx, func(token string) bool { return strings.HasPrefix(token, prefix) })
}

// oldPrefix returns how old tokens begin; empty if the rotation keeps their key.
func oldPrefix(progress pki.Rotation) (string, error) {
	p, ok := progress.Replacements[pki.ServiceAccounts]
	if !ok {
		return "", nil
	}
	id, err := pki.KeyID(p.Old)
	return pki.TokenPrefix(id), err
}

// oldTokens counts the files with old tokens in the volumes of a node's pods.
func (r *authorityRotation) oldTokens(ctx context.Context, n cluster.Node, progress pki.Rotation) (int, error) {
	prefix, err := oldPrefix(progress)
	if err != nil || prefix == "" {
		return 0, err
	}
	// The prefix has letters, digits, - and _ only, and a dot.
	text, err := r.nodes.client(n).Run(ctx, "sh", "-c",
		"find /var/lib/kubelet/pods -path '*/volumes/kubernetes.io~projected/*' -type f -exec grep -lF "+prefix+" {} + 2>/dev/null | wc -l")
	if err != nil {
		return 0, err
	}
	count, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || count < 0 {
		return 0, fmt.Errorf("count the old tokens on %s: the answer is %.40q", n.Name, text)
	}
	return count, nil
}

// revoke restarts the kubelets of nodes whose pods have old tokens, one after another, and
// waits until they have new ones.
func (r *authorityRotation) revoke(ctx context.Context, progress pki.Rotation) error {
	nodes, err := r.running(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		count, err := r.oldTokens(ctx, n, progress)
		if err != nil {
			return err
		}
		if count == 0 {
			continue
		}
		if err := r.restarter().restartProgram(ctx, n, programAgent, true); err != nil {
			return fmt.Errorf("restart the kubelet on %s: %w", n.Name, err)
		}
		if err := retry(ctx, renewTokensLimit, func(ctx context.Context) (bool, error) {
			count, err := r.oldTokens(ctx, n, progress)
			if err == nil && count > 0 {
				err = fmt.Errorf("%d tokens in pods on %s are still old", count, n.Name)
			}
			return err == nil, err
		}); err != nil {
			return err
		}
	}
	return nil
}
