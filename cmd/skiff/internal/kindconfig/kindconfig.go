// Package kindconfig converts the configuration file of a kind cluster to Skiff's settings. It
// reports everything that Skiff does differently or does not support.
package kindconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// apiVersion is the only version of kind's configuration that still exists.
const apiVersion = "kind.x-k8s.io/v1alpha4"

// Remark describes how a part of the configuration is converted.
type Remark struct {
	Verdict Verdict
	// Key is the part's path, such as nodes[0].extraPortMappings[1].
	Key string
	// Text is one line: the setting that results, or why the part is left out.
	Text string
}

// Verdict is the result of converting a part of the configuration.
type Verdict string

// The verdicts.
const (
	Mapped  Verdict = "mapped"
	Ignored Verdict = "ignored"     // Skiff does the same without it
	Cannot  Verdict = "unsupported" // the cluster differs from kind's
)

// String returns the remark as one line for users.
func (r Remark) String() string { return fmt.Sprintf("%s: %s: %s", r.Verdict, r.Key, r.Text) }

// Is reports whether content is the configuration of a kind cluster.
func Is(content []byte) bool {
	var header struct {
		Kind       string `yaml:"kind"`
		APIVersion string `yaml:"apiVersion"`
	}
	err := yaml.Unmarshal(content, &header)
	return err == nil && header.Kind == "Cluster" && strings.HasPrefix(header.APIVersion, "kind.x-k8s.io/")
}

// Convert returns the cluster that a kind configuration describes, based on Skiff's
// defaults. Unknown keys are errors.
func Convert(content []byte) (cluster.Spec, []Remark, error) {
	config, err := parse(content)
	if err != nil {
		return cluster.Spec{}, nil, err
	}
	names, err := kubenames.Read("")
	if err != nil {
		return cluster.Spec{}, nil, err
	}
	c := converter{spec: cluster.Default(), names: names}
	c.nodes(config.Nodes)
	c.networking(config.Networking)
	if config.Name != "" {
		c.spec.Name = config.Name
		c.remark(Mapped, "name", "the cluster's name: kubectl's context is skiff-%s, not kind-%s", config.Name, config.Name)
	}
	if len(config.FeatureGates) > 0 {
		c.spec.Kubernetes.FeatureGates = config.FeatureGates
		c.remark(Mapped, "featureGates", "kubernetes.featureGates")
	}
	if len(config.RuntimeConfig) > 0 {
		c.spec.Kubernetes.RuntimeConfig = config.RuntimeConfig
		c.remark(Mapped, "runtimeConfig", "kubernetes.runtimeConfig")
	}
	for i, patch := range config.KubeadmConfigPatches {
		if err := c.patch(fmt.Sprintf("kubeadmConfigPatches[%d]", i), patch, c.marks); err != nil {
			return cluster.Spec{}, nil, err
		}
	}
	for i, n := range config.Nodes {
		for j, patch := range n.KubeadmConfigPatches {
			if err := c.patch(fmt.Sprintf("nodes[%d].kubeadmConfigPatches[%d]", i, j), patch, c.marks[i:i+1]); err != nil {
				return cluster.Spec{}, nil, err
			}
		}
		if len(n.KubeadmConfigPatchesJSON6902) > 0 {
			c.remark(Cannot, fmt.Sprintf("nodes[%d].kubeadmConfigPatchesJSON6902", i), "use kubeadmConfigPatches, or settings below kubernetes")
		}
	}
	if len(config.KubeadmConfigPatchesJSON6902) > 0 {
		c.remark(Cannot, "kubeadmConfigPatchesJSON6902", "use kubeadmConfigPatches, or settings below kubernetes")
	}
	if len(config.ContainerdConfigPatches)+len(config.ContainerdConfigPatchesJSON6902) > 0 {
		c.remark(Cannot, "containerdConfigPatches", "nodes use the registry of this host: see registry.mirrors and registry.insecure")
	}
	c.group()
	return c.spec, c.remarks, nil
}

// parse decodes a configuration with known keys only.
func parse(content []byte) (v1alpha4.Cluster, error) {
	var config v1alpha4.Cluster
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&config); err != nil {
		return config, fmt.Errorf("not a configuration of kind: %s", oneLine(err))
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return config, errors.New("more than one YAML document")
	}
	if config.APIVersion != apiVersion {
		return config, fmt.Errorf("apiVersion is %q: use %s", config.APIVersion, apiVersion)
	}
	return config, nil
}

func oneLine(err error) string {
	text := strings.NewReplacer("yaml: unmarshal errors:", "", "yaml: ", "", " in type v1alpha4", " of").Replace(err.Error())
	return cli.OneLine(text)
}

// converter collects the cluster and the remarks.
type converter struct {
	spec    cluster.Spec
	names   *kubenames.Names
	marks   []*marks // of kind's nodes, in their order
	remarks []Remark
}

func (c *converter) remark(verdict Verdict, key, format string, args ...any) {
	c.remarks = append(c.remarks, Remark{verdict, key, fmt.Sprintf(format, args...)})
}
