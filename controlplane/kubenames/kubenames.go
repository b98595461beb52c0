// Package kubenames collects the names that upstream's components accept in their
// configuration, for the host (internal/kubenames), which does not link them.
package kubenames

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/version"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	proxyv1alpha1 "k8s.io/kube-proxy/config/v1alpha1"
	schedulerv1 "k8s.io/kube-scheduler/config/v1"
	kubeletv1beta1 "k8s.io/kubelet/config/v1beta1"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controlleroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	_ "k8s.io/kubernetes/cmd/kube-proxy/app" // registers feature gates
	_ "k8s.io/kubernetes/cmd/kubelet/app"    // registers feature gates
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	apiextensionsapiserver "k8s.io/apiextensions-apiserver/pkg/apiserver"

	"github.com/skiff-dev/skiff/internal/kubenames"
)

//go:generate go run ./generate ../../internal/kubenames

// Collect returns the names that the linked version of Kubernetes knows.
func Collect() (kubenames.Names, error) {
	apiserver := apiserveroptions.NewServerRunOptions()
	controllers, err := controlleroptions.NewKubeControllerManagerOptions()
	if err != nil {
		return kubenames.Names{}, fmt.Errorf("make the controllers' options: %w", err)
	}
	names := kubenames.Names{
		Gates: map[string]kubenames.Gate{}, APIs: apis(),
		AdmissionPlugins:  apiserver.Admission.GenericAdmission.Plugins.Registered(),
		APIServer:         flags(apiserver.Flags()),
		ControllerManager: flags(controllers.Flags(app.KnownControllers(), app.ControllersDisabledByDefault(), app.ControllerAliases())),
		Documents:         documents(),
	}
	for name, gate := range utilfeature.DefaultMutableFeatureGate.GetAll() {
		names.Gates[string(name)] = kubenames.Gate{Default: gate.Default, Locked: gate.LockToDefault}
	}
	return names, nil
}

// File returns the name of the file that has the names of the linked version.
func File() string { return version.DefaultKubeBinaryVersion + ".json" }

// Encode returns names as the file that the host embeds.
func Encode(names kubenames.Names) ([]byte, error) {
	content, err := json.MarshalIndent(names, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode the names: %w", err)
	}
	return append(content, '\n'), nil
}

// apis returns the versions of all built-in groups.
func apis() []string {
	var all []string
	for _, scheme := range []*runtime.Scheme{legacyscheme.Scheme, aggregatorscheme.Scheme, apiextensionsapiserver.Scheme} {
		for _, version := range scheme.PrioritizedVersionsAllGroups() {
			all = append(all, version.String())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func flags(sets cliflag.NamedFlagSets) []string {
	var all []string
	for _, set := range sets.FlagSets {
		set.VisitAll(func(flag *pflag.Flag) {
			if flag.Deprecated == "" {
				all = append(all, flag.Name)
			}
		})
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func documents() map[string]kubenames.Document {
	of := func(version string, t reflect.Type) kubenames.Document {
		return kubenames.Document{APIVersion: version, Field: describe(t)}
	}
	return map[string]kubenames.Document{
		"KubeletConfiguration":        of(kubeletv1beta1.SchemeGroupVersion.String(), reflect.TypeFor[kubeletv1beta1.KubeletConfiguration]()),
		"KubeProxyConfiguration":      of(proxyv1alpha1.SchemeGroupVersion.String(), reflect.TypeFor[proxyv1alpha1.KubeProxyConfiguration]()),
		"KubeSchedulerConfiguration":  of(schedulerv1.SchemeGroupVersion.String(), reflect.TypeFor[schedulerv1.KubeSchedulerConfiguration]()),
		"Policy":                      of(auditv1.SchemeGroupVersion.String(), reflect.TypeFor[auditv1.Policy]()),
		"AuthenticationConfiguration": of(apiserverv1.SchemeGroupVersion.String(), reflect.TypeFor[apiserverv1.AuthenticationConfiguration]()),
		"AuthorizationConfiguration":  of(apiserverv1.SchemeGroupVersion.String(), reflect.TypeFor[apiserverv1.AuthorizationConfiguration]()),
	}
}

// special are types whose form in JSON differs from that in Go.
var special = map[reflect.Type]string{
	reflect.TypeFor[metav1.Duration]():      kubenames.String,
	reflect.TypeFor[metav1.Time]():          kubenames.String,
	reflect.TypeFor[resource.Quantity]():    kubenames.Any, // a string or a number
	reflect.TypeFor[runtime.RawExtension](): kubenames.Any,
}

// describe returns the form of a type in JSON.
func describe(t reflect.Type) kubenames.Field {
	if name, ok := special[t]; ok {
		return kubenames.Field{Type: name}
	}
	if t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return kubenames.Field{Type: kubenames.Any}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.Struct:
		field := kubenames.Field{Type: kubenames.Object, Fields: map[string]kubenames.Field{}}
		addFields(field.Fields, t)
		return field
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return kubenames.Field{Type: kubenames.String}
		}
		items := describe(t.Elem())
		return kubenames.Field{Type: kubenames.List, Items: &items}
	case reflect.Map:
		items := describe(t.Elem())
		return kubenames.Field{Type: kubenames.Map, Items: &items}
	case reflect.String:
		return kubenames.Field{Type: kubenames.String}
	case reflect.Bool:
		return kubenames.Field{Type: kubenames.Boolean}
	case reflect.Float32, reflect.Float64:
		return kubenames.Field{Type: kubenames.Number}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return kubenames.Field{Type: kubenames.Integer}
	}
	return kubenames.Field{Type: kubenames.Any}
}

// addFields adds the fields of a struct, embedded ones included, except apiVersion and
// kind.
func addFields(to map[string]kubenames.Field, t reflect.Type) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Type == reflect.TypeFor[metav1.TypeMeta]() || name == "-" || !field.IsExported():
		case name == "" && strings.Contains(options, "inline"):
			addFields(to, field.Type)
		default:
			to[name] = describe(field.Type)
		}
	}
}
