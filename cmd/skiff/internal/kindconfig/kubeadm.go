package kindconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/internal/nearest"
)

// patch converts the documents of a patch of kubeadm's configuration. nodes are those
// whose registration it changes.
func (c *converter) patch(key, content string, nodes []*marks) error {
	decoder := yaml.NewDecoder(strings.NewReader(content))
	for {
		var document map[string]any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %s", key, oneLine(err))
		}
		if document, err = plain(document); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		kind, _ := document["kind"].(string)
		delete(document, "kind")
		delete(document, "apiVersion")
		switch kind {
		case "ClusterConfiguration":
			c.clusterConfiguration(key, document)
		case "InitConfiguration", "JoinConfiguration":
			c.registration(key, document, slices.DeleteFunc(slices.Clone(nodes), func(m *marks) bool {
				return kind == "InitConfiguration" && !m.controlPlane
			}))
		case "KubeletConfiguration":
			c.spec.Kubernetes.Kubelet = merged(c.spec.Kubernetes.Kubelet, document)
			c.remark(Mapped, key, "kubernetes.kubelet, for all nodes")
		case "KubeProxyConfiguration":
			if _, ok := document["mode"]; ok {
				delete(document, "mode")
				c.remark(Ignored, key+".mode", "the service proxy uses nftables")
			}
			c.spec.Kubernetes.Proxy = merged(c.spec.Kubernetes.Proxy, document)
			c.remark(Mapped, key, "kubernetes.proxy")
		default:
			hint := nearest.Of(kind, []string{"ClusterConfiguration", "InitConfiguration", "JoinConfiguration", "KubeletConfiguration", "KubeProxyConfiguration"})
			if hint != "" {
				return fmt.Errorf("%s: unknown kind %q: did you mean %q?", key, kind, hint)
			}
			return fmt.Errorf("%s: unknown kind %q", key, kind)
		}
	}
}

func (c *converter) clusterConfiguration(key string, document map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(document)) {
		part, _ := document[name].(map[string]any)
		switch name {
		case "apiServer":
			c.apiServer(key+".apiServer", part)
		case "controllerManager":
			for flag, value := range arguments(part["extraArgs"]) {
				set(&c.spec.Kubernetes.ControllerManager.Args, flag, value)
			}
			c.remark(Mapped, key+".controllerManager.extraArgs", "kubernetes.controllerManager.args")
			c.volumes(key+".controllerManager", part)
		case "networking":
			if domain, ok := part["dnsDomain"].(string); ok {
				c.spec.Network.Domain = domain
				c.remark(Mapped, key+".networking.dnsDomain", "network.domain")
			}
		case "kubernetesVersion", "clusterName", "metadata":
			c.remark(Ignored, key+"."+name, "Skiff sets it")
		default:
			c.remark(Cannot, key+"."+name, "see the settings below kubernetes")
		}
	}
}

func (c *converter) apiServer(key string, part map[string]any) {
	api := &c.spec.Kubernetes.APIServer
	args := arguments(part["extraArgs"])
	for _, flag := range slices.Sorted(maps.Keys(args)) {
		value, to := args[flag], "kubernetes.apiServer.args"
		switch flag {
		case "enable-admission-plugins":
			// Skiff enables NodeRestriction itself.
			api.AdmissionPlugins.Enable = slices.DeleteFunc(strings.Split(value, ","), func(name string) bool { return name == "NodeRestriction" })
			to = "kubernetes.apiServer.admissionPlugins.enable"
		case "disable-admission-plugins":
			api.AdmissionPlugins.Disable = strings.Split(value, ",")
			to = "kubernetes.apiServer.admissionPlugins.disable"
		case "feature-gates":
			c.gates(value)
			to = "kubernetes.featureGates"
		case "runtime-config":
			for _, one := range strings.Split(value, ",") {
				name, on, found := strings.Cut(one, "=")
				if !found {
					on = "true"
				}
				set(&c.spec.Kubernetes.RuntimeConfig, name, on)
			}
			to = "kubernetes.runtimeConfig"
		default:
			set(&api.Args, flag, value)
		}
		c.remark(Mapped, key+".extraArgs."+flag, "%s", to)
	}
	if names, _ := part["certSANs"].([]any); len(names) > 0 {
		for _, name := range names {
			if text, ok := name.(string); ok && text != "localhost" && text != "127.0.0.1" && text != "0.0.0.0" {
				c.spec.APIServerSANs = append(c.spec.APIServerSANs, text)
			}
		}
		c.remark(Mapped, key+".certSANs", "apiServerSANs")
	}
	c.volumes(key, part)
}

func (c *converter) volumes(key string, part map[string]any) {
	if part["extraVolumes"] != nil {
		c.remark(Cannot, key+".extraVolumes", "components read no files of nodes: see the settings below kubernetes that take files")
	}
}

// registration converts how nodes register.
func (c *converter) registration(key string, document map[string]any, nodes []*marks) {
	registration, _ := document["nodeRegistration"].(map[string]any)
	args := arguments(registration["kubeletExtraArgs"])
	for _, flag := range slices.Sorted(maps.Keys(args)) {
		at := key + ".nodeRegistration.kubeletExtraArgs." + flag
		switch value := args[flag]; flag {
		case "node-labels":
			labels := map[string]string{}
			for _, one := range strings.Split(value, ",") {
				name, text, _ := strings.Cut(one, "=")
				labels[name] = text
			}
			c.label(at, labels, nodes...)
			c.remark(Mapped, at, "labels of %s", cli.Count(len(nodes), "node"))
		case "register-with-taints":
			for _, m := range nodes {
				m.taints = append(m.taints, strings.Split(value, ",")...)
			}
			c.remark(Mapped, at, "taints of %s", cli.Count(len(nodes), "node"))
		case "feature-gates":
			c.gates(value)
			c.remark(Mapped, at, "kubernetes.featureGates")
		default:
			c.kubeletFlag(at, flag, value)
		}
	}
	taints, _ := registration["taints"].([]any)
	for _, one := range taints {
		taint, _ := one.(map[string]any)
		text := fmt.Sprintf("%v:%v", taint["key"], taint["effect"])
		if value, ok := taint["value"].(string); ok && value != "" {
			text = fmt.Sprintf("%v=%s:%v", taint["key"], value, taint["effect"])
		}
		for _, m := range nodes {
			m.taints = append(m.taints, text)
		}
		c.remark(Mapped, key+".nodeRegistration.taints", "%s, of %s", text, cli.Count(len(nodes), "node"))
	}
	if registration["ignorePreflightErrors"] != nil {
		c.remark(Ignored, key+".nodeRegistration.ignorePreflightErrors", "there are no such checks")
	}
}

// kubeletFlag converts a flag of the kubelet to the field of its configuration with the same
// name, if there is one that takes a single value.
func (c *converter) kubeletFlag(key, flag, value string) {
	words := strings.Split(flag, "-")
	for i := 1; i < len(words); i++ {
		if words[i] != "" {
			words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
		}
	}
	name := strings.Join(words, "")
	field, known := c.names.Documents["KubeletConfiguration"].Field.Fields[name]
	var parsed any = value
	if known && field.Type != kubenames.String && field.Type != kubenames.Any {
		known = json.Unmarshal([]byte(value), &parsed) == nil
	}
	if !known {
		c.remark(Cannot, key, "%s: use a field of KubeletConfiguration", value)
		return
	}
	c.spec.Kubernetes.Kubelet = merged(c.spec.Kubernetes.Kubelet, map[string]any{name: parsed})
	c.remark(Mapped, key, "kubernetes.kubelet.%s, for all nodes", name)
}

func (c *converter) gates(text string) {
	for _, one := range strings.Split(text, ",") {
		name, on, _ := strings.Cut(one, "=")
		set(&c.spec.Kubernetes.FeatureGates, strings.TrimSpace(name), on == "true")
	}
}

// arguments returns flags in the form of kubeadm v1beta3, a mapping, or v1beta4, a list.
func arguments(value any) map[string]string {
	all := map[string]string{}
	switch value := value.(type) {
	case map[string]any:
		for name, text := range value {
			all[name] = fmt.Sprint(text)
		}
	case []any:
		for _, one := range value {
			if arg, ok := one.(map[string]any); ok {
				all[fmt.Sprint(arg["name"])] = fmt.Sprint(arg["value"])
			}
		}
	}
	return all
}

func set[T any](to *map[string]T, name string, value T) {
	if *to == nil {
		*to = map[string]T{}
	}
	(*to)[name] = value
}

// merged returns fields with those of more, which replace them.
func merged(fields, more map[string]any) map[string]any {
	if len(fields)+len(more) == 0 {
		return nil
	}
	all := map[string]any{}
	maps.Copy(all, fields)
	maps.Copy(all, more)
	return all
}

// plain returns a YAML document as package json decodes it.
func plain(document map[string]any) (map[string]any, error) {
	content, err := json.Marshal(document)
	if err != nil {
		return nil, errors.New("keys must be strings")
	}
	var all map[string]any
	err = json.Unmarshal(content, &all)
	return all, err
}
