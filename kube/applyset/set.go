// Package applyset applies sets of objects with server-side apply and deletes what has
// left a set. Which objects belong to a set is recorded in the cluster, before the first
// of them is created, by the ApplySet convention of kubectl (KEP-3659): a ConfigMap names
// the kinds and namespaces, and each object has a label.
package applyset

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Labels and annotations of the ApplySet convention.
const (
	labelID              = "applyset.kubernetes.io/id"
	labelPartOf          = "applyset.kubernetes.io/part-of"
	annotationTooling    = "applyset.kubernetes.io/tooling"
	annotationKinds      = "applyset.kubernetes.io/contains-group-kinds"
	annotationNamespaces = "applyset.kubernetes.io/additional-namespaces"
)

const (
	// tooling names this package, as TOOL/VERSION. Other tools must not change its sets.
	tooling = "skiff/v1"
	// labelSet holds the name of a set on its ConfigMap.
	labelSet = "skiff.dev/addon"
	// annotationDigest is the digest of a set that is complete: all of its objects were
	// applied and became ready, and nothing else is left.
	annotationDigest = "skiff.dev/digest"
	// annotationSource describes where the objects came from.
	annotationSource = "skiff.dev/source"
	// parentNamespace is the namespace of the ConfigMaps, parentPrefix begins their names.
	parentNamespace = metav1.NamespaceSystem
	parentPrefix    = "skiff-addon-"
)

// Set is a set of objects.
type Set struct {
	// Name of the set: a DNS label.
	Name string
	// Namespace of objects that do not name one; "default" if it is empty. It is created
	// if it does not exist, and is never deleted.
	Namespace string
	// Source describes for users where the objects came from.
	Source  string
	Objects []*unstructured.Unstructured
	// Strict refuses fields that the API server does not know.
	Strict bool
}

// Digest identifies the content of the set.
func (s Set) Digest() string {
	hash := sha256.New()
	encoder := json.NewEncoder(hash)
	_ = encoder.Encode([]string{s.Name, s.Namespace, s.Source}) // a hash does not fail
	for _, o := range s.Objects {
		_ = encoder.Encode(o.Object)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

// namespace returns the namespace of objects that do not name one.
func (s Set) namespace() string { return cmp.Or(s.Namespace, metav1.NamespaceDefault) }

// placed returns the objects with the namespace that they get if their kind has one.
func (s Set) placed() []*unstructured.Unstructured {
	all := make([]*unstructured.Unstructured, 0, len(s.Objects))
	for _, o := range s.Objects {
		o = o.DeepCopy()
		o.SetNamespace(cmp.Or(o.GetNamespace(), s.namespace()))
		all = append(all, o)
	}
	return all
}

// Recorded is what the cluster knows of a set.
type Recorded struct {
	Name, Source string
	// Digest of the set; empty while it is incomplete.
	Digest string
	// Kinds are those that the set has or may have objects of.
	Kinds      []schema.GroupKind
	Namespaces []string
	parent     *corev1.ConfigMap
}

// id returns the value of labelPartOf for the objects of a set.
func id(set string) string {
	hash := sha256.Sum256([]byte(parentPrefix + set + "." + parentNamespace + ".ConfigMap."))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(hash[:]) + "-v1"
}

// configMap returns the ConfigMap of a set.
func (r Recorded) configMap() *corev1.ConfigMap {
	o := &corev1.ConfigMap{}
	if r.parent != nil {
		o = r.parent.DeepCopy()
	}
	o.Name, o.Namespace = parentPrefix+r.Name, parentNamespace
	kinds := make([]string, 0, len(r.Kinds))
	for _, k := range r.Kinds {
		kinds = append(kinds, k.String())
	}
	set := func(m *map[string]string, key, value string) {
		if *m == nil {
			*m = map[string]string{}
		}
		(*m)[key] = value
	}
	set(&o.Labels, labelID, id(r.Name))
	set(&o.Labels, labelSet, r.Name)
	set(&o.Annotations, annotationTooling, tooling)
	set(&o.Annotations, annotationKinds, strings.Join(kinds, ","))
	set(&o.Annotations, annotationNamespaces, strings.Join(r.Namespaces, ","))
	set(&o.Annotations, annotationDigest, r.Digest)
	set(&o.Annotations, annotationSource, r.Source)
	return o
}

// recorded reads the ConfigMap of a set.
func recorded(o *corev1.ConfigMap) Recorded {
	r := Recorded{Name: o.Labels[labelSet], Source: o.Annotations[annotationSource], Digest: o.Annotations[annotationDigest], parent: o}
	for _, text := range split(o.Annotations[annotationKinds]) {
		r.Kinds = append(r.Kinds, schema.ParseGroupKind(text))
	}
	r.Namespaces = split(o.Annotations[annotationNamespaces])
	return r
}

func split(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(item string) bool { return item == "" })
}

// with returns r with the kinds and namespaces of objects as well, and incomplete.
func (r Recorded) with(objects []*unstructured.Unstructured) Recorded {
	r.Digest = ""
	r.Kinds, r.Namespaces = slices.Clone(r.Kinds), slices.Clone(r.Namespaces)
	for _, o := range objects {
		r.Kinds = append(r.Kinds, o.GroupVersionKind().GroupKind())
		if namespace := o.GetNamespace(); namespace != "" && namespace != parentNamespace {
			r.Namespaces = append(r.Namespaces, namespace)
		}
	}
	slices.SortFunc(r.Kinds, func(a, b schema.GroupKind) int { return cmp.Compare(a.String(), b.String()) })
	slices.Sort(r.Namespaces)
	r.Kinds, r.Namespaces = slices.Compact(r.Kinds), slices.Compact(r.Namespaces)
	return r
}

// same reports whether both have the same content.
func (r Recorded) same(other Recorded) bool {
	return r.Source == other.Source && r.Digest == other.Digest && slices.Equal(r.Kinds, other.Kinds) && slices.Equal(r.Namespaces, other.Namespaces)
}
