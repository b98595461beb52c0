package addon

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// Target is the cluster that charts are rendered for.
type Target struct {
	capabilities *common.Capabilities
	config       *rest.Config // nil if the cluster is not running
}

// Predicted is a cluster that does not exist yet, of a version of Kubernetes such as 1.36.
func Predicted(version string) (Target, error) {
	kube, err := common.ParseKubeVersion("v" + strings.TrimPrefix(version, "v") + ".0")
	if err != nil {
		return Target{}, fmt.Errorf("version of Kubernetes: %w", err)
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *kube
	return Target{capabilities: capabilities}, nil
}

// Running is a cluster that serves its API.
func Running(config *rest.Config, client discovery.DiscoveryInterface) (Target, error) {
	version, err := client.ServerVersion()
	if err != nil {
		return Target{}, fmt.Errorf("read the version of Kubernetes: %w", err)
	}
	kube, err := common.ParseKubeVersion(version.GitVersion)
	if err != nil {
		return Target{}, fmt.Errorf("version of Kubernetes: %w", err)
	}
	_, lists, err := client.ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return Target{}, fmt.Errorf("read the APIs of the cluster: %w", err)
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion, capabilities.APIVersions = *kube, nil
	for _, list := range lists {
		capabilities.APIVersions = append(capabilities.APIVersions, list.GroupVersion)
		for _, r := range list.APIResources {
			capabilities.APIVersions = append(capabilities.APIVersions, path.Join(list.GroupVersion, r.Kind))
		}
	}
	return Target{capabilities: capabilities, config: config}, nil
}

// with returns the cluster with the APIs that the definitions among objects add.
func (t Target) with(objects []object) Target {
	capabilities := t.capabilities.Copy()
	capabilities.APIVersions = slices.Clone(capabilities.APIVersions)
	for _, o := range objects {
		if o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
		versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
		for _, one := range versions {
			if v, ok := one.(map[string]any); ok {
				name := fmt.Sprintf("%s/%v", group, v["name"])
				capabilities.APIVersions = append(capabilities.APIVersions, name, name+"/"+kind)
			}
		}
	}
	t.capabilities = capabilities
	return t
}
