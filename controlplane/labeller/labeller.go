// Package labeller keeps nodes showing their role where kubectl looks for it. A
// kubelet may not set that label itself (KEP-279), so it sets one of ours, and
// this turns it into Kubernetes'.
package labeller

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"

	"github.com/skiff-dev/skiff/controlplane/reconcile"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Settings are what the labeller needs to know.
type Settings struct {
	Client *rest.Config
	Log    *slog.Logger
}

// Missing is the label that a node with labels should have and has not; "" if
// none is missing.
func Missing(labels map[string]string) string {
	switch role := nodeconfig.Role(labels[names.LabelRole]); role {
	case nodeconfig.RoleControlPlane, nodeconfig.RoleWorker:
		label := names.LabelNodeRolePrefix + string(role)
		if _, there := labels[label]; !there {
			return label
		}
	}
	return ""
}

// Run labels nodes until ctx ends.
func Run(ctx context.Context, s Settings) error {
	client, err := metadata.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("make the labeller's client: %w", err)
	}
	nodes := schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	return reconcile.Run(ctx, reconcile.Settings{
		What:     "label of a node",
		Informer: metadatainformer.NewSharedInformerFactory(client, 0).ForResource(nodes).Informer(),
		Needs:    func(node metav1.Object) bool { return Missing(node.GetLabels()) != "" },
		Settle: func(ctx context.Context, name string) (bool, error) {
			return true, label(ctx, client.Resource(nodes), name)
		},
		Log: s.Log,
	})
}

func label(ctx context.Context, nodes metadata.Getter, name string) error {
	node, err := nodes.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read node: %w", err)
	}
	missing := Missing(node.Labels)
	if missing == "" {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]string{missing: ""}}})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	if _, err := nodes.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("label node with %s: %w", missing, err)
	}
	return nil
}
