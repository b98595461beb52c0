package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// testCustomDNS adds names to cluster DNS, as in k3s and AKS.
func testCustomDNS(t *testing.T, r *rig, name string, k *kube) {
	system := *k
	system.namespace = "kube-system"
	k = k.in(t)
	k.startInside(t, "inside")
	t.Cleanup(func() { system.anyway("delete", "configmap", "coredns-custom", "coredns", "--ignore-not-found") })
	system.apply(t, "coredns-custom.yaml")
	k.resolves(t, time.Minute, "a name of an own server", "a", "shop.localdev.test", "192.0.2.10")
	k.resolves(t, time.Minute, "a rewritten name", "a", "www.own.test", "10.96.0.1")
	k.resolves(t, time.Minute, "a name of the cluster", "a", "kubernetes.default.svc.cluster.local", "10.96.0.1")

	problem := func(want bool) {
		t.Helper()
		eventually(t, time.Minute, "problem in the status", func() error {
			problems := strings.Join(r.status(t, name).Problems, "\n")
			if strings.Contains(problems, "coredns-custom") != want {
				return fmt.Errorf("problems: %s", problems)
			}
			return nil
		})
	}
	problem(false)
	system.kubectl(t, "patch", "configmap", "coredns-custom", "-p", `{"data":{"bad.server":"import /etc/passwd"}}`)
	problem(true)
	k.resolves(t, time.Minute, "the last valid configuration", "a", "shop.localdev.test", "192.0.2.10")
	system.kubectl(t, "delete", "configmap", "coredns-custom")
	problem(false)
	k.resolves(t, time.Minute, "a name after the deletion", "a", "shop.localdev.test", "NXDOMAIN")

	a := system.try(t, "create", "configmap", "coredns", "--from-literal", "Corefile=.:53 { errors }")
	contains(t, "warning about kubeadm's ConfigMap", a.stderr, "Warning: nothing reads ConfigMap kube-system/coredns")
}
