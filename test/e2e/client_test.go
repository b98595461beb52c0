package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// header checks the columns of kubectl get -o wide.
func (k *kube) header(t *testing.T, columns string, args ...string) string {
	t.Helper()
	out := k.kubectl(t, append([]string{"get", "-o", "wide"}, args...)...)
	first, _, _ := strings.Cut(out, "\n")
	equal(t, "columns of get "+strings.Join(args, " ")+" -o wide", strings.Join(strings.Fields(first), " "), columns)
	return out
}

// release returns the release of Kubernetes that the API server runs, as in "v1.36.3".
func (k *kube) release(t *testing.T) string {
	t.Helper()
	var reported struct{ ServerVersion struct{ GitVersion string } }
	if err := json.Unmarshal([]byte(k.kubectl(t, "version", "-o", "json")), &reported); err != nil {
		t.Fatal(err)
	}
	return reported.ServerVersion.GitVersion
}

// pinnedKubectl returns the release of Kubernetes that the tests' kubectl is built from.
func (r *rig) pinnedKubectl(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.root, "test/tools/go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	pins, err := modfile.Parse("go.mod", content, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, required := range pins.Require {
		if required.Mod.Path == "k8s.io/kubernetes" {
			return required.Mod.Version
		}
	}
	t.Fatal("test/tools/go.mod does not pin k8s.io/kubernetes")
	return ""
}

func testKubectlOutput(t *testing.T, k *kube) {
	k.apply(t, "texts.yaml")
	k.rollout(t, "deployment/shown")
	nodes := k.header(t, "NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME", "nodes")
	contains(t, "nodes", nodes, "Ready", "control-plane", " "+k.release(t)+" ", "containerd://2.")
	pods := k.header(t, "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES", "pods")
	contains(t, "pods", pods, "1/1", "Running")
	k.header(t, "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR", "deployments")
	k.header(t, "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR", "services")
	k.header(t, "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR", "replicasets")

	name := k.pods(t, "app=shown")[0].name
	contains(t, "describe pod", k.kubectl(t, "describe", "pod", name),
		"Name:             "+name, "Image:          skiff.test/workload:1", "QoS Class:                   BestEffort",
		"Events:", "Scheduled", "Successfully assigned "+k.namespace+"/"+name, "Pulled", "already present on machine",
		"Created", "Started")
	contains(t, "describe deployment", k.kubectl(t, "describe", "deployment", "shown"),
		"StrategyType:           RollingUpdate", "1 desired | 1 updated | 1 total | 1 available | 0 unavailable", "ScalingReplicaSet")
	contains(t, "describe service", k.kubectl(t, "describe", "service", "shown"), "TargetPort:", "Endpoints:")
	contains(t, "describe node", k.kubectl(t, "describe", "node", k.workers[0].name),
		"MemoryPressure", "KubeletReady", "Non-terminated Pods:", "Allocated resources:")
	contains(t, "explain", k.kubectl(t, "explain", "pod.spec.containers.livenessProbe"),
		"KIND:       Pod", "VERSION:    v1", "FIELD: livenessProbe <Probe>", "DESCRIPTION:", "failureThreshold")
	contains(t, "api-resources", k.kubectl(t, "api-resources"), "deployments", "apps/v1", "NetworkPolicy")
	contains(t, "version", k.kubectl(t, "version"), "Client Version: "+k.pinnedKubectl(t), "Server Version: "+k.release(t))
	contains(t, "an absent object", k.try(t, "get", "pod", "absent").stderr,
		`Error from server (NotFound): pods "absent" not found`)
}

func testCustomResource(t *testing.T, k *kube) {
	k.apply(t, "crd.yaml")
	t.Cleanup(func() { k.anyway("delete", "crd", "boats.harbour.skiff.test", "--wait=false") })
	k.wait(t, "condition=Established", "crd/boats.harbour.skiff.test")
	k.apply(t, "boat.yaml")
	equal(t, "default from the schema", k.get(t, "boat/wherry", ".spec.harbour"), "home")
	columns := strings.Fields(k.kubectl(t, "get", "bt"))
	equal(t, "columns", strings.Join(columns, " "), "NAME OARS HARBOUR wherry 2 home")
	a := k.try(t, "apply", "-f", filepath.Join("testdata", "boat-odd.yaml"))
	if a.code == 0 {
		t.Error("an invalid boat was accepted")
	}
	contains(t, "an invalid boat", a.stderr, `The Boat "lopsided" is invalid`, "oars come in pairs")
	// The OpenAPI document is updated after a moment.
	eventually(t, waitLimit, "explain knows the new kind", func() error {
		a := k.try(t, "explain", "boat.spec")
		if a.code != 0 || !strings.Contains(a.stdout, "Oars is how many people can row at once.") {
			return fmt.Errorf("%s%s", a.stdout, a.stderr)
		}
		return nil
	})
	k.kubectl(t, "patch", "boat", "wherry", "--subresource=status", "--type=merge", "-p", `{"status":{"afloat":true}}`)
	k.wait(t, "jsonpath={.status.afloat}=true", "boat/wherry")
	k.kubectl(t, "delete", "crd", "boats.harbour.skiff.test")
	// kubectl may have the kind in its cache, but the server must not have it.
	if a := k.try(t, "get", "boats"); a.code == 0 {
		t.Errorf("boats exist after their definition was deleted: %s", a.stdout)
	}
}

func testApply(t *testing.T, k *kube) {
	first, second := filepath.Join("testdata", "apply-1.yaml"), filepath.Join("testdata", "apply-2.yaml")
	contains(t, "apply", k.kubectl(t, "apply", "-f", first), "configmap/shared created")
	contains(t, "apply again", k.kubectl(t, "apply", "-f", first), "configmap/shared unchanged")
	a := k.try(t, "diff", "-f", first)
	equal(t, "exit code of diff without a difference", a.code, 0)
	a = k.try(t, "diff", "-f", second)
	equal(t, "exit code of diff with a difference", a.code, 1)
	contains(t, "diff", a.stdout, "-  colour: red", "+  colour: green")
	equal(t, "diff changes nothing", k.get(t, "configmap/shared", ".data.colour"), "red")

	k.kubectl(t, "delete", "configmap", "shared")
	contains(t, "apply --server-side", k.kubectl(t, "apply", "--server-side", "-f", first), "configmap/shared serverside-applied")
	contains(t, "field managers", k.kubectl(t, "get", "configmap", "shared", "-o", "yaml", "--show-managed-fields"),
		"operation: Apply", "f:colour")
	a = k.try(t, "apply", "--server-side", "--field-manager=other", "-f", second)
	if a.code == 0 {
		t.Error("another manager changed a field without force")
	}
	contains(t, "conflict", a.stderr, "Apply failed with 1 conflict", `conflict with "kubectl"`, ".data.colour")
	k.kubectl(t, "apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", second)
	equal(t, "after force", k.get(t, "configmap/shared", ".data.colour"), "green")
	contains(t, "dry run on the server",
		k.kubectl(t, "delete", "configmap", "shared", "--dry-run=server"), "(server dry run)")
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong}\ndatum: {a: b}\n"
	if err := os.WriteFile(wrong, []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	contains(t, "a field that does not exist", k.try(t, "apply", "-f", wrong).stderr, `unknown field "datum"`)
}

func testHelm(t *testing.T, k *kube) {
	greeting := func(want, version string) {
		t.Helper()
		equal(t, "greeting", k.get(t, "configmap/site", ".data.greeting"), want)
		equal(t, "image", k.get(t, "deployment/site", ".spec.template.spec.containers[0].image"), "skiff.test/workload:"+version)
	}
	wait := []string{"--wait", "--timeout", waitLimit.String()}
	contains(t, "install", k.helm(t, append([]string{"install", "site", "testdata/chart"}, wait...)...), "STATUS: deployed", "REVISION: 1")
	greeting("hello", "1")
	contains(t, "helm test", k.helm(t, "test", "site", "--timeout", waitLimit.String()), "Phase:          Succeeded")
	k.helm(t, append([]string{"upgrade", "site", "testdata/chart", "--set", "greeting=goodbye,version=2"}, wait...)...)
	greeting("goodbye", "2")
	k.helm(t, append([]string{"rollback", "site", "1"}, wait...)...)
	greeting("hello", "1")
	contains(t, "history", k.helm(t, "history", "site"), "superseded", "Rollback to 1", "deployed")
	k.helm(t, append([]string{"uninstall", "site"}, wait...)...)
	contains(t, "after uninstall", k.try(t, "get", "deployment", "site").stderr, "NotFound")
}

// helm runs Helm in the namespace.
func (k *kube) helm(t *testing.T, args ...string) string {
	t.Helper()
	args = append(args, "--namespace", k.namespace)
	if k.context != "" {
		args = append(args, "--kube-context", k.context)
	}
	return k.run(t, k.tool("helm"), args...).must(t, append([]string{"helm"}, args...)...)
}

// testRelease installs a chart whose service is a load balancer: Helm waits until it has
// its address, and the host answers through upgrades and a rollback.
func testRelease(t *testing.T, r *rig, cluster string, k *kube) {
	const port = 28180
	wait := []string{"--set", "service.type=LoadBalancer", "--set", fmt.Sprintf("service.port=%d", port), "--wait", "--timeout", waitLimit.String()}
	var at []string
	answers := func(version string) {
		t.Helper()
		if k.get(t, "service/shop", ".status.loadBalancer.ingress[0].ip") == "" {
			t.Error("Helm did not wait for the address")
		}
		eventually(t, waitLimit, "the host answers with version "+version, func() error {
			if at = r.hostAddresses(t, cluster, k.namespace, "shop", port); len(at) == 0 {
				return fmt.Errorf("no addresses")
			}
			status, body, err := r.curl(t, "http://"+at[0]+"/version")
			if err == nil && (status != "200" || body != version) {
				err = fmt.Errorf("%s %q", status, body)
			}
			return err
		})
		contains(t, "helm test", k.helm(t, "test", "shop", "--timeout", waitLimit.String()), "Phase:          Succeeded")
	}
	k.helm(t, append([]string{"install", "shop", "testdata/chart"}, wait...)...)
	answers("1")
	k.helm(t, append([]string{"upgrade", "shop", "testdata/chart", "--set", "version=2,replicas=2"}, wait...)...)
	answers("2")
	k.helm(t, "rollback", "shop", "1", "--wait", "--timeout", waitLimit.String())
	answers("1")
	k.helm(t, "uninstall", "shop", "--wait", "--timeout", waitLimit.String())
	for _, address := range at {
		refuses(t, address)
	}
}
