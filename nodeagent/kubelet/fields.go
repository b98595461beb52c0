package kubelet

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	kubeletscheme "k8s.io/kubernetes/pkg/kubelet/apis/config/scheme"

	"github.com/skiff-dev/skiff/nodeagent/fields"
)

// SetFeatureGates sets those gates that this process has, which are global. It must be
// called before anything depends on them.
func SetFeatureGates(gates map[string]bool) error {
	known := utilfeature.DefaultMutableFeatureGate.GetAll()
	ours := map[string]bool{}
	for name, on := range gates {
		if _, ok := known[featuregate.Feature(name)]; ok {
			ours[name] = on
		}
	}
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(ours); err != nil {
		return fmt.Errorf("set feature gates: %w", err)
	}
	return nil
}

// Check returns an error if the kubelet would not start with the user's fields.
func (k Kubelet) Check() error {
	_, err := k.server()
	return err
}

// server returns the whole configuration with the user's fields.
func (k Kubelet) server() (*options.KubeletServer, error) {
	server, err := Server(k.Node, k.Machine, k.Paths)
	if err != nil || len(k.Fields) == 0 {
		return server, err
	}
	if err := addFields(&server.KubeletConfiguration, k.Fields); err != nil {
		return nil, fmt.Errorf("the kubelet's configuration: %w", err)
	}
	if err := options.ValidateKubeletServer(server); err != nil {
		return nil, fmt.Errorf("the kubelet's configuration: %w", err)
	}
	return server, nil
}

// addFields merges fields of a KubeletConfiguration into config, as the kubelet merges
// files of its drop-in directory: maps are merged, everything else is replaced.
func addFields(config *kubeletconfig.KubeletConfiguration, user map[string]any) error {
	scheme, codecs, err := kubeletscheme.NewSchemeAndCodecs(serializer.EnableStrict)
	if err != nil {
		return err
	}
	var external kubeletv1beta1.KubeletConfiguration
	if err := scheme.Convert(config, &external, nil); err != nil {
		return err
	}
	external.APIVersion, external.Kind = kubeletv1beta1.SchemeGroupVersion.String(), "KubeletConfiguration"
	content, err := fields.Merge(external, user)
	if err != nil {
		return err
	}
	object, kind, err := codecs.UniversalDecoder().Decode(content, nil, nil)
	if err != nil {
		return err
	}
	changed, ok := object.(*kubeletconfig.KubeletConfiguration)
	if !ok {
		return fmt.Errorf("it is a %s, not a KubeletConfiguration", kind)
	}
	*config = *changed
	return nil
}
