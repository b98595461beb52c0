package cluster

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// reserved are names that only Skiff may set, as patterns of package path.
type reserved struct {
	patterns []string
	// use is the key of skiff.yaml that does the same, if any.
	use string
}

// The arguments of the API server that only Skiff may set: certificates, addresses,
// etcd, authorization, and files, which users cannot place on nodes.
func reservedAPIServer() []reserved {
	return []reserved{
		{[]string{"feature-gates"}, "kubernetes.featureGates"},
		{[]string{"runtime-config"}, "kubernetes.runtimeConfig"},
		{[]string{"enable-admission-plugins", "disable-admission-plugins"}, "kubernetes.apiServer.admissionPlugins"},
		{[]string{"audit-policy-file"}, "kubernetes.apiServer.auditPolicy"},
		{[]string{"authentication-config", "oidc-*"}, "kubernetes.apiServer.authenticationConfig"},
		{[]string{"authorization-*"}, "kubernetes.apiServer.authorizationConfig"},
		{[]string{"service-cluster-ip-range"}, "network.services"},
		{[]string{
			"*-file", "*-dir", "*-path", "*-cafile", "*-certfile", "*-keyfile", "*-manifest", "tls-*", "requestheader-*", "proxy-client-*",
			"etcd-*", "storage-backend", "encryption-provider-*", "advertise-address", "bind-address", "secure-port", "external-hostname",
			"permit-*-sharing", "peer-*", "endpoint-reconciler-type", "kubernetes-service-node-port",
			"kubelet-*", "allow-privileged", "anonymous-auth", "api-audiences", "enable-bootstrap-token-auth",
			"service-account-issuer", "service-account-jwks-uri", "service-account-signing-endpoint", "service-account-lookup",
			"emulat*", "min-compatibility-version", "runtime-config-*", "goaway-chance", "shutdown-*", "v", "vmodule", "log*", "disable-http2-serving",
		}, ""},
	}
}

// The arguments of the controller manager that only Skiff may set.
func reservedControllers() []reserved {
	return []reserved{
		{[]string{"feature-gates"}, "kubernetes.featureGates"},
		{[]string{"cluster-cidr"}, "network.pods"},
		{[]string{"service-cluster-ip-range"}, "network.services"},
		{[]string{
			"*-file", "*-dir", "*-path", "*-filepath-*", "*-manifest", "tls-*", "requestheader-*", "authentication-*", "authorization-*",
			"kubeconfig", "master", "bind-address", "secure-port", "permit-*-sharing", "cloud-*", "configure-cloud-routes", "external-cloud-volume-plugin",
			"allocate-node-cidrs", "cidr-allocator-type", "node-cidr-mask-size*", "cluster-name", "leader-*", "enable-leader-migration",
			"use-service-account-credentials", "controller-shutdown-timeout", "emulat*", "min-compatibility-version", "v", "vmodule", "log*", "disable-http2-serving",
		}, ""},
	}
}

// The fields of KubeletConfiguration that only Skiff may set.
func reservedKubelet() []reserved {
	return []reserved{
		{[]string{"featureGates"}, "kubernetes.featureGates"},
		{[]string{"clusterDomain"}, "network.domain"},
		{[]string{
			"address", "port", "readOnlyPort", "healthz*", "enableServer", "authentication", "authorization", "tls*", "rotateCertificates", "serverTLSBootstrap",
			"clusterDNS", "resolvConf", "podCIDR", "containerRuntimeEndpoint", "imageServiceEndpoint", "cgroup*", "*Cgroups", "*Cgroup", "failCgroupV1",
			"makeIPTablesUtilChains", "iptables*", "volumePluginDir", "podLogsDir", "staticPod*", "registerNode", "registerWithTaints", "providerID",
			"runOnce", "enableDebuggingHandlers", "enableControllerAttachDetach", "protectKernelDefaults", "nodeLeaseDurationSeconds",
		}, ""},
	}
}

// The fields of KubeProxyConfiguration that only Skiff may set.
func reservedProxy() []reserved {
	return []reserved{
		{[]string{"featureGates"}, "kubernetes.featureGates"},
		{[]string{"clusterCIDR"}, "network.pods"},
		{[]string{
			"clientConnection", "hostnameOverride", "bindAddress*", "healthzBindAddress", "metricsBindAddress", "mode", "detectLocal*", "conntrack",
			"iptables", "ipvs", "winkernel", "windowsRunAsService", "oomScoreAdj", "enableProfiling",
		}, ""},
	}
}

// The fields of KubeSchedulerConfiguration that only Skiff may set.
func reservedScheduler() []reserved {
	return []reserved{{[]string{"clientConnection", "leaderElection", "enableProfiling", "enableContentionProfiling", "delayCacheUntilActive"}, ""}}
}

// checkReserved returns an error if only Skiff may set the name.
func checkReserved(name string, all []reserved) error {
	for _, r := range all {
		if !slices.ContainsFunc(r.patterns, func(pattern string) bool {
			matches, err := path.Match(pattern, name)
			return err == nil && matches
		}) {
			continue
		}
		if r.use != "" {
			return fmt.Errorf("%s cannot be set here: use %s", name, r.use)
		}
		return fmt.Errorf("%s cannot be set, because Skiff needs its own value", name)
	}
	return nil
}

// validateKubernetes returns what is wrong with the settings of Kubernetes' components.
func validateKubernetes(c nodeconfig.Components, names *kubenames.Names) []error {
	var faults []error
	add := func(key string, all ...error) {
		for _, err := range all {
			if err != nil {
				faults = append(faults, fmt.Errorf("kubernetes.%s: %w", key, err))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.FeatureGates)) {
		add("featureGates", names.CheckGate(name, c.FeatureGates[name]))
	}
	for _, key := range slices.Sorted(maps.Keys(c.RuntimeConfig)) {
		add("runtimeConfig", names.CheckAPI(key), checkSwitch(key, c.RuntimeConfig[key]))
	}
	add("apiServer.args", checkArguments(c.APIServer.Args, names.APIServer, reservedAPIServer())...)
	add("apiServer.admissionPlugins", checkPlugins(c.APIServer.AdmissionPlugins, names)...)
	add("apiServer.auditPolicy", checkDocument("Policy", c.APIServer.AuditPolicy, names, nil)...)
	add("apiServer.authenticationConfig", checkDocument("AuthenticationConfiguration", c.APIServer.AuthenticationConfig, names, nil)...)
	add("apiServer.authorizationConfig", checkAuthorization(c.APIServer, names)...)
	add("controllerManager.args", checkArguments(c.ControllerManager.Args, names.ControllerManager, reservedControllers())...)
	add("scheduler.config", checkDocument("KubeSchedulerConfiguration", c.Scheduler.Config, names, reservedScheduler())...)
	add("kubelet", checkFields("KubeletConfiguration", c.Kubelet, names, reservedKubelet())...)
	add("proxy", checkFields("KubeProxyConfiguration", c.Proxy, names, reservedProxy())...)
	return faults
}

// needed are APIs without which a cluster does not work.
var needed = []string{"api/all", "api/ga", "v1", "apps/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1", "rbac.authorization.k8s.io/v1"}

func checkSwitch(key, value string) error {
	switch {
	case value != "true" && value != "false":
		return fmt.Errorf("%s is %q: use true or false", key, value)
	case value == "false" && slices.Contains(needed, key):
		return fmt.Errorf("%s cannot be turned off: the cluster needs it", key)
	}
	return nil
}

// maxArgument bounds the value of an argument, in bytes.
const maxArgument = 4096

func checkArguments(args map[string]string, known []string, all []reserved) []error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(args)) {
		err := checkReserved(name, all)
		if err == nil {
			err = kubenames.CheckFlag(name, known)
		}
		switch {
		case strings.HasPrefix(name, "-"):
			faults = append(faults, fmt.Errorf("%s: leave out the dashes", name))
		case err != nil:
			faults = append(faults, err)
		case len(args[name]) > maxArgument:
			faults = append(faults, fmt.Errorf("the value of %s is longer than %d bytes", name, maxArgument))
		}
	}
	return faults
}

func checkPlugins(plugins nodeconfig.AdmissionPlugins, names *kubenames.Names) []error {
	var faults []error
	for _, name := range slices.Concat(plugins.Enable, plugins.Disable) {
		faults = append(faults, names.CheckAdmissionPlugin(name))
	}
	for _, name := range plugins.Disable {
		if name == "NodeRestriction" || name == "ServiceAccount" || name == "NamespaceLifecycle" {
			faults = append(faults, fmt.Errorf("%s cannot be disabled: the cluster needs it", name))
		}
		if slices.Contains(plugins.Enable, name) {
			faults = append(faults, fmt.Errorf("%s is both enabled and disabled", name))
		}
	}
	return faults
}

func checkDocument(kind string, document map[string]any, names *kubenames.Names, all []reserved) []error {
	if len(document) == 0 {
		return nil
	}
	return append(names.CheckDocument(kind, document), checkReservedFields(document, all)...)
}

func checkFields(kind string, fields map[string]any, names *kubenames.Names, all []reserved) []error {
	return append(names.CheckFields(kind, fields), checkReservedFields(fields, all)...)
}

func checkReservedFields(fields map[string]any, all []reserved) []error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if err := checkReserved(name, all); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}
