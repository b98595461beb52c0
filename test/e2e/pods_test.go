package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func testConfiguration(t *testing.T, k *kube) {
	k.apply(t, "configuration.yaml")
	k.wait(t, "condition=Ready", "pod/configured")
	read := func(what, line, want string) {
		t.Helper()
		equal(t, what, strings.TrimSpace(k.sh(t, "configured", line)), want)
	}
	read("config map in the environment", `echo $COLOUR`, "blue")
	read("config map as a file", `cat /etc/settings/app.properties`, "size=large")
	read("secret in the environment", `echo $PASSWORD`, "correct horse")
	read("secret as a file", `cat /etc/credentials/key.pem`, "not really a key")
	read("mode of a secret's file", `stat -L -c %a /etc/credentials/key.pem`, "400")
	read("what the init container left", `cat /prepared/greeting`, "prepared for blue")
	read("downward API: name", `echo $POD_NAME`, "configured")
	read("downward API: address", `echo $POD_IP`, k.get(t, "pod/configured", ".status.podIP"))
	read("downward API: node", `echo $NODE_NAME`, k.get(t, "pod/configured", ".spec.nodeName"))
	read("downward API: memory", `echo $MEMORY_LIMIT`, fmt.Sprint(64<<20))
	// Kubernetes adds the labels of the node's zone and region.
	read("downward API: labels", `grep -v ^topology.kubernetes.io/ /etc/about/labels`, "app=\"configured\"\ntier=\"backend\"")
	contains(t, "downward API: annotations", k.sh(t, "configured", "cat /etc/about/annotations"), `owner="e2e"`)
	equal(t, "init container", k.get(t, "pod/configured", ".status.initContainerStatuses[0].state.terminated.reason"), "Completed")
}

func testProbes(t *testing.T, k *kube) {
	k.apply(t, "probes.yaml")
	k.wait(t, "condition=Ready", "pod/live", "pod/prepared")

	endpoints := func() string {
		return k.kubectl(t, "get", "endpointslices", "-l", "kubernetes.io/service-name=prepared",
			"-o", "jsonpath={.items[*].endpoints[*].conditions.ready}")
	}
	k.kubectl(t, "exec", "prepared", "--", "workload", "get", "-method", "POST", "http://127.0.0.1:8080/readyz/off")
	k.kubectl(t, "exec", "live", "--", "workload", "get", "-method", "POST", "http://127.0.0.1:8080/healthz/off")
	k.wait(t, "condition=Ready=false", "pod/prepared")
	eventually(t, waitLimit, "the endpoint of the pod is not ready", func() error {
		if got := endpoints(); got != "false" {
			return fmt.Errorf("ready: %q", got)
		}
		return nil
	})
	k.kubectl(t, "exec", "prepared", "--", "workload", "get", "-method", "POST", "http://127.0.0.1:8080/readyz/on")
	k.wait(t, "condition=Ready", "pod/prepared")
	equal(t, "restarts of a pod that was not ready", k.get(t, "pod/prepared", ".status.containerStatuses[0].restartCount"), "0")

	// The new container is healthy, because only the old one was switched.
	eventually(t, waitLimit, "the failing container is restarted", func() error {
		pods := k.pods(t, "app=live")
		if len(pods) != 1 || pods[0].restarts != 1 || !pods[0].ready {
			return fmt.Errorf("%+v", pods)
		}
		return nil
	})
	contains(t, "events", k.kubectl(t, "get", "events"), "Unhealthy", "Liveness probe failed", "Readiness probe failed", "Killing")
	contains(t, "log of the previous container", k.kubectl(t, "logs", "live", "--previous"), "/healthz/off")
}

func testRollingUpdate(t *testing.T, k *kube) {
	k.apply(t, "rolling.yaml")
	k.rollout(t, "deployment/roll")
	k.wait(t, "condition=Ready", "pod/watcher")
	// Failures before the service was ready do not count.
	lost := k.failuresOnce(t, "1")
	k.kubectl(t, "set", "image", "deployment/roll", "roll=skiff.test/workload:2")
	k.rollout(t, "deployment/roll")
	k.failuresOnce(t, "2")
	history := k.kubectl(t, "rollout", "history", "deployment/roll")
	contains(t, "history", history, "REVISION", "1", "2")
	k.kubectl(t, "rollout", "undo", "deployment/roll")
	k.rollout(t, "deployment/roll")
	if now := k.failuresOnce(t, "1"); now != lost {
		t.Errorf("%d requests failed during the update\n%s", now-lost, k.kubectl(t, "logs", "watcher"))
	}
}

// failuresOnce waits until the watcher gets a version as answer, and returns how
// many of its requests have failed so far.
func (k *kube) failuresOnce(t *testing.T, version string) (failures int) {
	t.Helper()
	pattern := regexp.MustCompile(`failures=(\d+) last="` + version + `"`)
	eventually(t, waitLimit, "the service responds with version "+version, func() error {
		log := k.kubectl(t, "logs", "watcher", "--tail", "1")
		found := pattern.FindStringSubmatch(log)
		if found == nil {
			return errors.New(log)
		}
		var err error
		failures, err = strconv.Atoi(found[1])
		return err
	})
	return failures
}

func testClaim(t *testing.T, k *kube) {
	classes := k.kubectl(t, "get", "storageclass")
	contains(t, "storage classes", classes, "local (default)", "standard")
	k.apply(t, "claim.yaml")
	k.apply(t, "claim-pod.yaml")
	k.wait(t, "condition=Ready", "pod/keeper")
	k.sh(t, "keeper", "echo kept >/data/file && sync")
	first := k.get(t, "pod/keeper", ".metadata.uid")
	volume := k.get(t, "pvc/data", ".spec.volumeName")
	k.kubectl(t, "delete", "pod", "keeper")
	k.apply(t, "claim-pod.yaml")
	k.wait(t, "condition=Ready", "pod/keeper")
	if k.get(t, "pod/keeper", ".metadata.uid") == first {
		t.Error("the pod was not replaced")
	}
	equal(t, "data after its pod", k.sh(t, "keeper", "cat /data/file"), "kept\n")
	k.kubectl(t, "patch", "pvc", "data", "-p", `{"spec":{"resources":{"requests":{"storage":"128Mi"}}}}`)
	k.wait(t, "jsonpath={.status.capacity.storage}=128Mi", "pvc/data")
	equal(t, "the volume's size", k.get(t, "pv/"+volume, ".spec.capacity.storage"), "128Mi")
	k.kubectl(t, "delete", "pod", "keeper")
	k.kubectl(t, "delete", "pvc", "data")
	k.wait(t, "delete", "pv/"+volume)
}
