package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// maxObjects limits how many objects of one kind are listed.
const maxObjects = 5000

// Objects calls each with all objects of every kind that the API of a kubeconfig
// lists, as a JSON list, or with the reason why a kind cannot be listed. name is
// RESOURCE or RESOURCE.GROUP. Secrets come without their content. Objects returns
// an error only if the API does not answer.
func Objects(ctx context.Context, kubeconfig []byte, each func(name string, list []byte, failed error)) error {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 100, 200
	config.UserAgent = "skiff-export"
	config.WarningHandler = rest.NoWarnings{} // about deprecated kinds
	found, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("create a client of the Kubernetes API: %w", err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("create a client of the Kubernetes API: %w", err)
	}
	lists, err := found.ServerPreferredResources()
	if len(lists) == 0 && err != nil {
		return fmt.Errorf("list the kinds of objects: %w", err)
	}
	for _, kind := range listable(lists) {
		list, err := objects.Resource(kind).List(ctx, metav1.ListOptions{Limit: maxObjects})
		if err != nil {
			each(kind.GroupResource().String(), nil, err)
			continue
		}
		if len(list.Items) == 0 {
			continue
		}
		for i := range list.Items {
			redact(&list.Items[i])
		}
		content, err := json.MarshalIndent(list, "", " ")
		each(kind.GroupResource().String(), content, err)
	}
	return nil
}

// listable returns the kinds that can be listed. Events have two names, of which
// one is enough.
func listable(lists []*metav1.APIResourceList) []schema.GroupVersionResource {
	var kinds []schema.GroupVersionResource
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, resource := range list.APIResources {
			kind := version.WithResource(resource.Name)
			if slices.Contains(resource.Verbs, "list") && kind.GroupResource().String() != "events.events.k8s.io" {
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds
}

// redact removes the content of a secret, and from any object what only tools
// use.
func redact(object *unstructured.Unstructured) {
	object.SetManagedFields(nil)
	if object.GetKind() != "Secret" || object.GroupVersionKind().Group != "" {
		return
	}
	delete(object.Object, "data")
	delete(object.Object, "stringData")
	object.SetAnnotations(nil)
}
