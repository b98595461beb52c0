package bootstrap

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/skiff-dev/skiff/controlplane/gatewayapi"
	"github.com/skiff-dev/skiff/internal/names"
)

// gatewayObjects are the definitions of the Gateway API and the class of Gateways that the
// host serves. A definition replaces only one of an earlier release that Skiff created.
func gatewayObjects() ([]Object, error) {
	definitions, err := gatewayapi.Names()
	if err != nil {
		return nil, err
	}
	var objects []Object
	for _, name := range definitions {
		objects = append(objects, definition(name))
	}
	classes := schema.GroupVersionResource{Group: gatewayv1.GroupName, Version: gatewayv1.GroupVersion.Version, Resource: "gatewayclasses"}
	return append(objects, Object{Yielding: true, Resource: classes, Object: &gatewayv1.GatewayClass{
		TypeMeta:   metav1.TypeMeta{APIVersion: gatewayv1.GroupVersion.String(), Kind: "GatewayClass"},
		ObjectMeta: meta(names.GatewayClass, ""),
		Spec:       gatewayv1.GatewayClassSpec{ControllerName: names.GatewayController},
	}}), nil
}

func definition(name string) Object {
	content := func() (map[string]any, error) {
		found, err := gatewayapi.Definition(name)
		if err != nil {
			return nil, err
		}
		err = unstructured.SetNestedStringMap(found, meta(name, "").Labels, "metadata", "labels")
		return found, err
	}
	return Object{
		Yielding: true, Content: content,
		Resource: schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
		Object:   &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name}},
		Replaces: func(existing metav1.Object) (bool, error) {
			if existing.GetLabels()[managedBy] != manager {
				return false, nil
			}
			return gatewayapi.Precedes(existing.GetAnnotations())
		},
	}
}
