package kube

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// GatewayObject names an object of the Gateway API.
type GatewayObject struct {
	// Resource is the plural name of its kind.
	Resource string
	Name     types.NamespacedName
	// Version is its resource version.
	Version string
}

// SetGatewayStatus replaces the status of an object of the Gateway API, unless the object
// has changed or does not exist: whoever watches it then knows better. Other controllers
// may write other parts of the same status.
func (c *Client) SetGatewayStatus(ctx context.Context, o GatewayObject, status any) error {
	patch, err := statusPatch(o, status)
	if err != nil {
		return fmt.Errorf("encode the status of %s %s: %w", o.Resource, o.Name, err)
	}
	path := []string{"/apis", gatewayv1.GroupName, gatewayv1.GroupVersion.Version}
	if o.Name.Namespace != "" {
		path = append(path, "namespaces", o.Name.Namespace)
	}
	path = append(path, o.Resource, o.Name.Name, "status")
	err = c.set.CoreV1().RESTClient().Patch(types.MergePatchType).AbsPath(path...).Body(patch).Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("write the status of %s %s: %w", o.Resource, o.Name, err)
	}
	return nil
}

// statusPatch returns a merge patch, in which fields that the status does not have are
// removed.
func statusPatch(o GatewayObject, status any) ([]byte, error) {
	content, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{"addresses": nil, "conditions": nil, "listeners": nil, "parents": nil, "supportedFeatures": nil}
	if err := json.Unmarshal(content, &fields); err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": o.Version}, "status": fields})
}
