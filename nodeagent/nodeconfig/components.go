package nodeconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
)

// ComponentsFile is the name of the file in Node.Files, and below PKIDir, that has
// the node's Components. The host may replace it while the node runs; programs read
// it when they start.
const ComponentsFile = "components.json"

// maxComponents bounds that file, in bytes.
const maxComponents = 1 << 20

// Components are users' settings of Kubernetes' components under upstream's names. They
// are applied on top of Skiff's. Values of type any are as package json decodes them.
type Components struct {
	// FeatureGates are for all components that know them.
	FeatureGates map[string]bool `json:"featureGates,omitempty"`
	// RuntimeConfig turns APIs on ("true") or off ("false").
	RuntimeConfig     map[string]string `json:"runtimeConfig,omitempty"`
	APIServer         APIServer         `json:"apiServer,omitzero"`
	ControllerManager ControllerManager `json:"controllerManager,omitzero"`
	Scheduler         Scheduler         `json:"scheduler,omitzero"`
	// Kubelet and Proxy are fields of a KubeletConfiguration (v1beta1) and of a
	// KubeProxyConfiguration (v1alpha1).
	Kubelet map[string]any `json:"kubelet,omitempty"`
	Proxy   map[string]any `json:"proxy,omitempty"`
}

// APIServer has settings of the API server.
type APIServer struct {
	// Args are command-line flags without dashes.
	Args             map[string]string `json:"args,omitempty"`
	AdmissionPlugins AdmissionPlugins  `json:"admissionPlugins,omitzero"`
	// AuditPolicy is a Policy of audit.k8s.io/v1.
	AuditPolicy map[string]any `json:"auditPolicy,omitempty"`
	// AuthenticationConfig is an AuthenticationConfiguration of
	// apiserver.config.k8s.io/v1.
	AuthenticationConfig map[string]any `json:"authenticationConfig,omitempty"`
	// AuthorizationConfig is an AuthorizationConfiguration of
	// apiserver.config.k8s.io/v1 without the paths of kubeconfig files.
	AuthorizationConfig map[string]any `json:"authorizationConfig,omitempty"`
	// WebhookKubeconfigs are the contents of those files, by the authorizer's name.
	WebhookKubeconfigs map[string]string `json:"webhookKubeconfigs,omitempty"`
}

// AdmissionPlugins are names of plugins.
type AdmissionPlugins struct {
	Enable  []string `json:"enable,omitempty"`
	Disable []string `json:"disable,omitempty"`
}

// ControllerManager has settings of the controller manager.
type ControllerManager struct {
	// Args are command-line flags without dashes.
	Args map[string]string `json:"args,omitempty"`
}

// Scheduler has settings of the scheduler.
type Scheduler struct {
	// Config is a KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1.
	Config map[string]any `json:"config,omitempty"`
}

// IsZero reports whether nothing is set.
func (c Components) IsZero() bool { return c.Same(Components{}) }

// Same reports whether both have the same settings.
func (c Components) Same(other Components) bool { return reflect.DeepEqual(c, other) }

// SameControlPlane reports whether both mean the same to a control plane's program.
func (c Components) SameControlPlane(other Components) bool {
	return c.forControlPlane().Same(other.forControlPlane())
}

// SameAgent reports whether both mean the same to a node agent.
func (c Components) SameAgent(other Components) bool {
	return c.For(RoleWorker).Same(other.For(RoleWorker))
}

func (c Components) forControlPlane() Components {
	c.Kubelet, c.Proxy = nil, nil
	return c
}

// For returns what a node with that role needs. Files of the API server may have
// secrets, so no worker gets them.
func (c Components) For(role Role) Components {
	if role == RoleControlPlane {
		return c
	}
	return Components{FeatureGates: c.FeatureGates, Kubelet: c.Kubelet, Proxy: c.Proxy}
}

// ReadComponents reads settings from a file. A missing file sets nothing.
func ReadComponents(path string) (Components, error) {
	var components Components
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return components, nil
	}
	if err == nil {
		components, err = ParseComponents(content)
	}
	if err != nil {
		return Components{}, fmt.Errorf("read the settings of Kubernetes' components: %w", err)
	}
	return components, nil
}

// ParseComponents decodes settings.
func ParseComponents(content []byte) (Components, error) {
	if len(content) > maxComponents {
		return Components{}, fmt.Errorf("larger than %d bytes", maxComponents)
	}
	var components Components
	err := json.Unmarshal(content, &components)
	return components, err
}
