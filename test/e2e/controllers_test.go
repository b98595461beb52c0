package e2e

import (
	"fmt"
	"strings"
	"testing"
)

func testJob(t *testing.T, k *kube) {
	k.apply(t, "job.yaml")
	k.wait(t, "condition=Complete", "job/sum")
	equal(t, "succeeded", k.get(t, "job/sum", ".status.succeeded"), "3")
	logs := k.kubectl(t, "logs", "-l", "batch.kubernetes.io/job-name=sum", "--tail=-1")
	contains(t, "logs", logs, "part 0 done", "part 1 done", "part 2 done")
	k.wait(t, "condition=Failed", "job/hopeless")
	code := k.kubectl(t, "get", "pods", "-l", "batch.kubernetes.io/job-name=hopeless",
		"-o", "jsonpath={.items[0].status.containerStatuses[0].state.terminated.exitCode}")
	equal(t, "exit code of the container", code, "7")
}

func testCronJob(t *testing.T, k *kube) {
	k.apply(t, "cronjob.yaml")
	eventually(t, waitLimit, "a scheduled job succeeds", func() error {
		if k.get(t, "cronjob/clock", ".status.lastSuccessfulTime") == "" {
			return fmt.Errorf("no job has succeeded: %s", k.kubectl(t, "get", "jobs"))
		}
		return nil
	})
	k.kubectl(t, "patch", "cronjob", "clock", "-p", `{"spec":{"suspend":true}}`)
	equal(t, "suspended", k.get(t, "cronjob/clock", ".spec.suspend"), "true")
}

func testDaemonSet(t *testing.T, k *kube) {
	k.apply(t, "daemonset.yaml")
	k.rollout(t, "daemonset/everywhere")
	before := k.onEveryNode(t, "app=everywhere")
	equal(t, "pods", len(before), len(k.workers))
	k.kubectl(t, "delete", "pod", before[0].name)
	eventually(t, waitLimit, "the pod of the node is replaced", func() error {
		for _, p := range k.pods(t, "app=everywhere") {
			if p.node == before[0].node && p.uid != before[0].uid && p.ready {
				return nil
			}
		}
		return fmt.Errorf("not on %s", before[0].node)
	})
}

func testStatefulSet(t *testing.T, k *kube) {
	k.apply(t, "statefulset.yaml")
	k.rollout(t, "statefulset/db")
	pods := k.pods(t, "app=db")
	equal(t, "pods", len(pods), 2)
	for _, name := range []string{"db-0", "db-1"} {
		k.sh(t, name, "hostname >/data/owner && sync")
	}
	// Each pod has a DNS name.
	for from, to := range map[string]string{"db-0": "db-1", "db-1": "db-0"} {
		k.waitForAnswers(t, from, "http://"+to+".db:8080/hostname", to)
	}
	uid := k.get(t, "pod/db-1", ".metadata.uid")
	k.kubectl(t, "delete", "pod", "db-1")
	eventually(t, waitLimit, "db-1 is replaced", func() error {
		for _, p := range k.pods(t, "app=db") {
			if p.name == "db-1" && p.uid != uid && p.ready {
				return nil
			}
		}
		return fmt.Errorf("%+v", k.pods(t, "app=db"))
	})
	equal(t, "data of db-1", strings.TrimSpace(k.sh(t, "db-1", "cat /data/owner")), "db-1")
	k.kubectl(t, "scale", "statefulset/db", "--replicas=1")
	k.wait(t, "delete", "pod/db-1")
	equal(t, "claim after scaling down", k.get(t, "pvc/data-db-1", ".status.phase"), "Bound")
}
