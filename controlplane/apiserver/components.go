package apiserver

import (
	"maps"
	"slices"
	"strings"

	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/skiff-dev/skiff/controlplane/arguments"
)

// applyComponents sets the user's settings on top of Skiff's.
func (s Settings) applyComponents(o *options.ServerRunOptions, flags cliflag.NamedFlagSets) error {
	user := s.Components
	values := map[string]string{}
	maps.Copy(values, user.APIServer.Args)
	if gates := arguments.Gates(user.FeatureGates); gates != "" {
		values["feature-gates"] = gates
	}
	if len(user.RuntimeConfig) > 0 {
		var all []string
		for _, key := range slices.Sorted(maps.Keys(user.RuntimeConfig)) {
			all = append(all, key+"="+user.RuntimeConfig[key])
		}
		values["runtime-config"] = strings.Join(all, ",")
	}
	generic := o.Admission.GenericAdmission
	generic.EnablePlugins = append(generic.EnablePlugins, user.APIServer.AdmissionPlugins.Enable...)
	generic.DisablePlugins = append(generic.DisablePlugins, user.APIServer.AdmissionPlugins.Disable...)
	o.Authentication.AuthenticationConfigFile = s.AuthenticationConfig
	if s.AuthorizationConfig != "" {
		o.Authorization.Modes, o.Authorization.AuthorizationConfigurationFile = nil, s.AuthorizationConfig
	}
	return arguments.Apply(flags, values)
}
