package kubeconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	sigsyaml "sigs.k8s.io/yaml"
)

// extension is the name under which our contexts keep a memory.
const extension = "skiff.dev/previous-context"

const currentContext = "current-context"

// lists are the lists of a kubeconfig.
var lists = []string{"clusters", "contexts", "users"}

// memory is what one of our contexts remembers of the file as it was before, so
// that the file can be restored. What concerns the whole file is handed on when
// another of our contexts stays.
type memory struct {
	// Previous is the context that was current before.
	Previous string `json:"previous"`
	// Defined is set if that context was in this file.
	Defined bool `json:"defined,omitempty"`
	// Text is the text of values that were replaced, by key.
	Text map[string]string `json:"text,omitempty"`
	// Added lists the keys that did not exist.
	Added []string `json:"added,omitempty"`
	// Created is set if the file did not exist, Newline if its last line had no end.
	Created bool `json:"created,omitempty"`
	Newline bool `json:"newline,omitempty"`
}

func memoryOf(context *clientcmdapi.Context) memory {
	var m memory
	if context == nil {
		return m
	}
	if unknown, ok := context.Extensions[extension].(*runtime.Unknown); ok {
		_ = json.Unmarshal(unknown.Raw, &m) // without a memory, nothing is restored
	}
	return m
}

// ours reports whether a context is one of Skiff's.
func ours(name string) bool { return strings.HasPrefix(name, Context("")) }

// editor changes the text of a kubeconfig step by step.
type editor struct {
	*source
	config *clientcmdapi.Config // what the text meant before all steps
}

func newEditor(content []byte) (*editor, error) {
	config := clientcmdapi.NewConfig()
	if len(bytes.TrimSpace(content)) > 0 {
		var err error
		if config, err = clientcmd.Load(content); err != nil {
			return nil, err
		}
	}
	s, err := parse(content)
	return &editor{s, config}, err
}

// apply takes the result of a step.
func (e *editor) apply(content []byte, err error) error {
	if err != nil {
		return err
	}
	e.source, err = parse(content)
	return err
}

// merge adds what addition's current context refers to and makes it current.
func (e *editor) merge(addition *clientcmdapi.Config, created bool) (changed bool, err error) {
	name := addition.CurrentContext
	added := addition.Contexts[name]
	if added == nil || addition.Clusters[added.Cluster] == nil || addition.AuthInfos[added.AuthInfo] == nil {
		return false, errors.New("the cluster's kubeconfig has no complete current context")
	}
	if bytes.Contains(bytes.ReplaceAll(e.content, []byte("\r\n"), nil), []byte("\r")) {
		return false, errStyle // a line end that only YAML knows
	}
	added = added.DeepCopy()
	existing := e.config.Contexts[name]
	if existing != nil {
		added.Namespace = existing.Namespace
	}
	want := e.config.DeepCopy()
	want.CurrentContext = name
	want.Clusters[added.Cluster], want.AuthInfos[added.AuthInfo] = addition.Clusters[added.Cluster], addition.AuthInfos[added.AuthInfo]
	remembered := memoryOf(existing)
	if existing == nil {
		remembered.Created = created
	}
	if e.config.CurrentContext == name && existing != nil && sameConfig(e.config, want) &&
		existing.Cluster == added.Cluster && existing.AuthInfo == added.AuthInfo {
		return false, nil
	}
	if existing != nil && e.config.CurrentContext != name {
		// It becomes the last of our contexts, so the one after it no longer is.
		if err := e.passOver(name, remembered, want); err != nil {
			return false, err
		}
	}
	if err := e.prepare(&remembered, name); err != nil {
		return false, err
	}
	raw, err := json.Marshal(remembered)
	if err != nil {
		return false, err
	}
	added.Extensions = map[string]runtime.Object{extension: &runtime.Unknown{Raw: raw}}
	want.Contexts[name] = added
	return true, e.insert(want, name, added, remembered)
}

// renew replaces the cluster and the user of addition's context, if the file still has
// both. The context and which one is current stay.
func (e *editor) renew(addition *clientcmdapi.Config) (changed bool, err error) {
	added := addition.Contexts[addition.CurrentContext]
	if added == nil || e.config.Clusters[added.Cluster] == nil || e.config.AuthInfos[added.AuthInfo] == nil {
		return false, nil
	}
	want := e.config.DeepCopy()
	want.Clusters[added.Cluster], want.AuthInfos[added.AuthInfo] = addition.Clusters[added.Cluster], addition.AuthInfos[added.AuthInfo]
	if sameConfig(e.config, want) {
		return false, nil
	}
	one := clientcmdapi.NewConfig()
	one.Clusters[added.Cluster], one.AuthInfos[added.AuthInfo] = want.Clusters[added.Cluster], want.AuthInfos[added.AuthInfo]
	items, err := encode(one)
	if err != nil {
		return false, err
	}
	for list, entry := range map[string]string{"clusters": added.Cluster, "users": added.AuthInfo} {
		if err := e.apply(e.removeItem(list, entry)); err != nil {
			return false, err
		}
		if err := e.apply(e.addItem(list, items[list][0])); err != nil {
			return false, err
		}
	}
	return true, e.verify(want)
}

// prepare completes what the context called name remembers, and ends the last
// line.
func (e *editor) prepare(m *memory, name string) error {
	if e.root == nil && len(e.content) > 0 && !bytes.HasSuffix(e.content, []byte("\n")) {
		m.Newline = true
		if err := e.apply(append(slices.Clone(e.content), e.newline()...), nil); err != nil {
			return err
		}
	}
	for _, key := range append([]string{"apiVersion", "kind"}, lists...) {
		node, value := e.key(key)
		switch {
		case node == nil && e.root == nil || node == nil && slices.Contains(lists, key):
			m.Added = append(m.Added, key)
		case node != nil && value.Tag == "!!null" && value.Value != "":
			m.remember(key, value.Value)
		}
	}
	if e.config.CurrentContext == name {
		return nil
	}
	m.Previous = e.config.CurrentContext
	m.Defined = e.config.Contexts[m.Previous] != nil
	m.forgetCurrent()
	if node, _ := e.key(currentContext); node == nil {
		m.Added = append(m.Added, currentContext)
		return nil
	}
	text, err := e.raw(currentContext)
	m.remember(currentContext, text)
	return err
}

func (m *memory) remember(key, text string) {
	if m.Text == nil {
		m.Text = map[string]string{}
	}
	m.Text[key] = text
}

func (m *memory) forgetCurrent() {
	delete(m.Text, currentContext)
	m.Added = slices.DeleteFunc(m.Added, func(key string) bool { return key == currentContext })
}

// insert writes the context called name of want, with its cluster and user.
func (e *editor) insert(want *clientcmdapi.Config, name string, context *clientcmdapi.Context, m memory) error {
	one := clientcmdapi.NewConfig()
	one.Clusters[context.Cluster] = want.Clusters[context.Cluster]
	one.AuthInfos[context.AuthInfo] = want.AuthInfos[context.AuthInfo]
	one.Contexts[name] = context
	items, err := encode(one)
	if err != nil {
		return err
	}
	if err := e.setCurrent(quoteIf(e.flow(), name)); err != nil {
		return err
	}
	for i, entry := range []string{context.Cluster, name, context.AuthInfo} {
		list := lists[i]
		if err := e.apply(e.removeItem(list, entry)); err != nil {
			return err
		}
		if err := e.apply(e.addItem(list, items[list][0])); err != nil {
			return err
		}
	}
	for _, key := range [][2]string{{"kind", "Config"}, {"apiVersion", "v1"}} {
		if node, _ := e.key(key[0]); node == nil && slices.Contains(m.Added, key[0]) {
			if err := e.apply(e.addKey(key[0], quote(key[1]), " "+key[1]+e.newline())); err != nil {
				return err
			}
		}
	}
	return e.verify(want)
}

// encode returns the lists of a kubeconfig as they are written to a file.
func encode(config *clientcmdapi.Config) (map[string][]any, error) {
	content, err := clientcmd.Write(*config)
	if err != nil {
		return nil, err
	}
	var file struct {
		Clusters, Contexts, Users []any
	}
	if err := sigsyaml.Unmarshal(content, &file); err != nil {
		return nil, err
	}
	return map[string][]any{"clusters": file.Clusters, "contexts": file.Contexts, "users": file.Users}, nil
}

// setCurrent writes the text of current-context.
func (e *editor) setCurrent(text string) error {
	if node, value := e.key(currentContext); node == nil {
		return e.apply(e.addKey(currentContext, text, " "+text+e.newline()))
	} else if value.Value == text {
		return nil
	}
	return e.apply(e.setRaw(currentContext, text))
}

// verify reports an error unless the text means exactly what was intended.
func (e *editor) verify(want *clientcmdapi.Config) error {
	got := clientcmdapi.NewConfig()
	if len(bytes.TrimSpace(e.content)) > 0 {
		var err error
		if got, err = clientcmd.Load(e.content); err != nil {
			return errors.Join(errStyle, err)
		}
	}
	if !sameConfig(got, want) {
		return errStyle
	}
	return nil
}

// sameConfig compares what two kubeconfigs mean, our memories excepted.
func sameConfig(a, b *clientcmdapi.Config) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	for _, config := range []*clientcmdapi.Config{a, b} {
		for name, context := range config.Contexts {
			if ours(name) {
				delete(context.Extensions, extension)
			}
			if len(context.Extensions) == 0 {
				context.Extensions = nil
			}
		}
	}
	x, errX := clientcmd.Write(*a)
	y, errY := clientcmd.Write(*b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func quoteIf(yes bool, text string) string {
	if yes {
		return quote(text)
	}
	return text
}
