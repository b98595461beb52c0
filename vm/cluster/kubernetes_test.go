package cluster

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func components(t *testing.T, content string) nodeconfig.Components {
	t.Helper()
	c, err := nodeconfig.ParseComponents([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSettingsOfKubernetesAreChecked(t *testing.T) {
	names, err := kubenames.Read("")
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{
		`{}`: "",
		`{"featureGates": {"AllAlpha": true, "ContextualLogging": false}}`:                                                                    "",
		`{"featureGates": {"JobBackoffLimit": true}}`:                                                                                         `kubernetes.featureGates: unknown feature gate "JobBackoffLimit"`,
		`{"runtimeConfig": {"api/all": "true", "resource.k8s.io/v1alpha3/devicetaintrules": "true", "storage.k8s.io/v1alpha1": "false"}}`:     "",
		`{"runtimeConfig": {"api/beta": "yes"}}`:                                                                                              `kubernetes.runtimeConfig: api/beta is "yes": use true or false`,
		`{"runtimeConfig": {"apps/v1": "false"}}`:                                                                                             `apps/v1 cannot be turned off`,
		`{"apiServer": {"args": {"event-ttl": "2h", "max-requests-inflight": "800"}}}`:                                                        "",
		`{"apiServer": {"args": {"--event-ttl": "2h"}}}`:                                                                                      `kubernetes.apiServer.args: --event-ttl: leave out the dashes`,
		`{"apiServer": {"args": {"tls-private-key-file": "/x"}}}`:                                                                             `tls-private-key-file cannot be set, because Skiff needs its own value`,
		`{"apiServer": {"args": {"tls-privat-key-file": "/x"}}}`:                                                                              `tls-privat-key-file cannot be set`,
		`{"apiServer": {"args": {"service-cluster-ip-range": "10.0.0.0/16"}}}`:                                                                `use network.services`,
		`{"apiServer": {"admissionPlugins": {"enable": ["AlwaysPullImages"], "disable": ["AlwaysPullImages"]}}}`:                              `AlwaysPullImages is both enabled and disabled`,
		`{"controllerManager": {"args": {"terminated-pod-gc-threshold": "10"}}}`:                                                              "",
		`{"controllerManager": {"args": {"leader-elect": "true"}}}`:                                                                           `kubernetes.controllerManager.args: leader-elect cannot be set`,
		`{"kubelet": {"maxPods": 20, "evictionHard": {"memory.available": "5%"}, "memorySwap": {"swapBehavior": "LimitedSwap"}}}`:             "",
		`{"kubelet": {"imageGCHighThresholdPercent": 80.5}}`:                                                                                  `imageGCHighThresholdPercent is 80.5: it must be an integer`,
		`{"kubelet": {"tlsCertFile": "/x"}}`:                                                                                                  `kubernetes.kubelet: tlsCertFile cannot be set`,
		`{"proxy": {"nftables": {"syncPeriod": "1m"}}}`:                                                                                       "",
		`{"proxy": {"nftables": {"syncPeriod": 60}}}`:                                                                                         `nftables.syncPeriod is 60: it must be a string`,
		`{"scheduler": {"config": {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "parallelism": 4}}}`: "",
		`{"scheduler": {"config": {"parallelism": 4}}}`:                                                                                       `kubernetes.scheduler.config: apiVersion is missing: use kubescheduler.config.k8s.io/v1`,
	} {
		var got []string
		for _, fault := range validateKubernetes(components(t, content), names) {
			got = append(got, fault.Error())
			if strings.Contains(fault.Error(), "\n") {
				t.Errorf("%s: more than one line: %q", content, fault)
			}
		}
		if all := strings.Join(got, "; "); want == "" && all != "" || !strings.Contains(all, want) {
			t.Errorf("%s: %q, want %q", content, all, want)
		}
	}
}

func TestSettingsOfKubernetesStayTheSameInTheStateFile(t *testing.T) {
	state := State{Spec: Default(), Version: StateVersion}
	state.Spec.Kubernetes = components(t, `{"featureGates": {"AllBeta": true}, "kubelet": {"maxPods": 20, "evictionHard": {"a": "b"}}, "proxy": {"x": [1, true, null]}}`)
	state.Components = state.Spec.Kubernetes
	content, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseState(content)
	if err != nil || !again.Spec.Same(state.Spec) || !again.Components.Same(state.Components) {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestAClusterStartsWithSettingsThatHaveWorked(t *testing.T) {
	names, err := kubenames.Read("")
	if err != nil {
		t.Fatal(err)
	}
	spec := Default()
	spec.Kubernetes = components(t, `{"kubelet": {"maxPods": 20}}`)
	proven, removed := components(t, `{"kubelet": {"maxPods": 30}}`), components(t, `{"featureGates": {"GoneSinceTheUpdate": true}}`)
	for _, test := range []struct {
		state State
		want  nodeconfig.Components
	}{
		{State{}, spec.Kubernetes},
		{State{Components: proven}, spec.Kubernetes},
		{State{Components: proven, Formed: true}, proven},
		{State{Components: removed, Formed: true}, spec.Kubernetes},
	} {
		if got := test.state.FirstComponents(spec, names); !got.Same(test.want) {
			t.Errorf("%+v: %+v, want %+v", test.state, got, test.want)
		}
	}
}

func TestWorkersGetNothingOfTheControlPlane(t *testing.T) {
	c := components(t, `{"featureGates": {"AllBeta": true}, "apiServer": {"args": {"event-ttl": "1h"}}, "scheduler": {"config": {"a": 1}}, "kubelet": {"maxPods": 20}}`)
	if got := c.For(nodeconfig.RoleWorker); !got.Same(components(t, `{"featureGates": {"AllBeta": true}, "kubelet": {"maxPods": 20}}`)) {
		t.Errorf("%+v", got)
	}
	if !c.For(nodeconfig.RoleControlPlane).Same(c) {
		t.Error("a control plane needs all")
	}
	other := components(t, `{"featureGates": {"AllBeta": true}, "kubelet": {"maxPods": 10}}`)
	if c.SameAgent(other) || c.SameControlPlane(other) || !other.SameControlPlane(components(t, `{"featureGates": {"AllBeta": true}}`)) {
		t.Error("what changed is not found")
	}
}
