// Package labeller keeps the role labels of nodes correct, which kubectl shows and
// workloads select by. A kubelet may not set them (KEP-279), and what it says
// about its role is not trusted: the role follows from the node's name, which the
// host chose and certified.
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

// Settings configure the labeller.
type Settings struct {
	Client *rest.Config
	Log    *slog.Logger
}

// Changes returns the labels to set on a node, and with the value nil those to
// remove. Nodes that the host did not make, and other labels, are the user's.
func Changes(node string, labels map[string]string) map[string]any {
	role, ok := nodeconfig.RoleOf(node)
	if !ok || !nodeconfig.MadeByHost(node, labels) {
		return nil
	}
	changes := map[string]any{}
	if labels[names.LabelRole] != string(role) {
		changes[names.LabelRole] = string(role)
	}
	for _, r := range []nodeconfig.Role{nodeconfig.RoleControlPlane, nodeconfig.RoleWorker} {
		label := names.LabelNodeRolePrefix + string(r)
		_, labelled := labels[label]
		switch {
		case r == role && !labelled:
			changes[label] = ""
		case r != role && labelled:
			changes[label] = nil
		}
	}
	return changes
}

// Run labels nodes until ctx ends.
func Run(ctx context.Context, s Settings) error {
	client, err := metadata.NewForConfig(s.Client)
	if err != nil {
		return fmt.Errorf("make the labeller's client: %w", err)
	}
	nodes := schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	return reconcile.Run(ctx, reconcile.Settings{
		Kind:     "node",
		Informer: metadatainformer.NewSharedInformerFactory(client, 0).ForResource(nodes).Informer(),
		Needs:    func(node metav1.Object) bool { return len(Changes(node.GetName(), node.GetLabels())) > 0 },
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
	changes := Changes(name, node.Labels)
	if len(changes) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": changes}})
	if err != nil {
		return fmt.Errorf("encode patch: %w", err)
	}
	if _, err := nodes.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("label node: %w", err)
	}
	return nil
}
