package kubeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	sigsyaml "sigs.k8s.io/yaml"
)

// extension is the name under which our contexts remember what was current
// before them.
const extension = "skiff.dev/previous-context"

// document is a kubeconfig as a tree of YAML nodes: what is not looked at stays
// as it was written.
type document struct{ root *yaml.Node }

// parse accepts what kubectl accepts. No bytes are an empty kubeconfig.
func parse(content []byte) (*document, error) {
	if _, err := clientcmd.Load(content); err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, err
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	if len(doc.Content) > 0 && doc.Content[0].Tag != "!!null" {
		root = doc.Content[0]
	}
	if root.Kind != yaml.MappingNode {
		return nil, errors.New("not a YAML mapping")
	}
	d := &document{root}
	if value(root, "apiVersion") == nil {
		set(root, "apiVersion", scalar("v1"))
	}
	if value(root, "kind") == nil {
		set(root, "kind", scalar("Config"))
	}
	for _, key := range []string{"clusters", "contexts", "users"} {
		list := value(root, key)
		if list == nil || list.Tag == "!!null" {
			set(root, key, &yaml.Node{Kind: yaml.SequenceNode})
		} else if list.Kind != yaml.SequenceNode {
			return nil, fmt.Errorf("%s is not a plain list", key)
		}
	}
	return d, nil
}

func (d *document) bytes() ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent() // as kubectl writes it
	err := encoder.Encode(d.root)
	return out.Bytes(), errors.Join(err, encoder.Close())
}

// merge adds what addition's current context names and makes it current.
func (d *document) merge(addition *clientcmdapi.Config) (changed bool, err error) {
	name := addition.CurrentContext
	added := addition.Contexts[name]
	if added == nil || addition.Clusters[added.Cluster] == nil || addition.AuthInfos[added.AuthInfo] == nil {
		return false, errors.New("the cluster's kubeconfig has no complete current context")
	}
	previous := d.current()
	if previous == name {
		previous = d.previous(name)
	}
	one := clientcmdapi.NewConfig()
	one.Clusters[added.Cluster] = addition.Clusters[added.Cluster]
	one.AuthInfos[added.AuthInfo] = addition.AuthInfos[added.AuthInfo]
	one.Contexts[name] = added
	source, err := tree(one)
	if err != nil {
		return false, err
	}
	remember(value(find(value(source, "contexts"), name), "context"), previous)
	for key, entry := range map[string]string{"clusters": added.Cluster, "users": added.AuthInfo, "contexts": name} {
		changed = replaceEntry(value(d.root, key), find(value(source, key), entry), entry) || changed
	}
	return d.setCurrent(name) || changed, nil
}

// remove takes the context out with its cluster and user, if these are ours.
func (d *document) remove(name string) (changed bool, err error) {
	previous := d.previous(name)
	contexts := value(d.root, "contexts")
	context := value(find(contexts, name), "context")
	for key, entry := range map[string]string{
		"clusters": text(value(context, "cluster")), "users": text(value(context, "user")), "contexts": name,
	} {
		if strings.HasPrefix(entry, Context("")) {
			changed = drop(value(d.root, key), entry) || changed
		}
	}
	// Whoever remembers the context that goes now remembers the one before it.
	for _, item := range contexts.Content {
		if other := text(value(item, "name")); d.previous(other) == name {
			remember(value(item, "context"), previous)
			changed = true
		}
	}
	if d.current() == name {
		if find(contexts, previous) == nil {
			previous = ""
		}
		changed = d.setCurrent(previous) || changed
	}
	return changed, nil
}

func (d *document) current() string { return text(value(d.root, "current-context")) }

func (d *document) setCurrent(name string) (changed bool) {
	if d.current() == name {
		return false
	}
	node := value(d.root, "current-context")
	if node == nil || node.Kind != yaml.ScalarNode {
		set(d.root, "current-context", scalar(name))
		return true
	}
	node.Value, node.Tag, node.Style = name, "!!str", 0 // its comment stays
	return true
}

// previous is the context that was current before the one called name.
func (d *document) previous(name string) string {
	context := value(find(value(d.root, "contexts"), name), "context")
	return text(value(value(find(value(context, "extensions"), extension), "extension"), "previous"))
}

// ours says whether a context of any skiff cluster is in the document.
func (d *document) ours() bool {
	for _, item := range value(d.root, "contexts").Content {
		if strings.HasPrefix(text(value(item, "name")), Context("")) {
			return true
		}
	}
	return false
}

// empty says whether the document holds nothing that anybody would miss.
func (d *document) empty() bool {
	if d.root.HeadComment != "" || d.root.FootComment != "" {
		return false
	}
	for i := 0; i < len(d.root.Content); i += 2 {
		key, val := d.root.Content[i], d.root.Content[i+1]
		switch key.Value {
		case "apiVersion", "kind":
		default:
			if len(val.Content) > 0 || val.Kind == yaml.ScalarNode && val.Value != "" && val.Tag != "!!null" {
				return false
			}
		}
		if key.HeadComment != "" || key.LineComment != "" || key.FootComment != "" {
			return false
		}
	}
	return true
}

// remember writes previous into the extensions of one of our contexts.
func remember(context *yaml.Node, previous string) {
	entry := &yaml.Node{Kind: yaml.MappingNode}
	inner := &yaml.Node{Kind: yaml.MappingNode}
	set(inner, "previous", scalar(previous))
	set(entry, "extension", inner)
	set(entry, "name", scalar(extension))
	list := value(context, "extensions")
	if list == nil || list.Kind != yaml.SequenceNode {
		list = &yaml.Node{Kind: yaml.SequenceNode}
		set(context, "extensions", list)
	}
	replaceEntry(list, entry, extension)
}

// tree is a kubeconfig in the shape of a file.
func tree(config *clientcmdapi.Config) (*yaml.Node, error) {
	content, err := clientcmd.Write(*config)
	if err != nil {
		return nil, err
	}
	if content, err = sigsyaml.JSONToYAML(content); err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, err
	}
	return doc.Content[0], nil
}
