package e2e

import (
	"os"
	"testing"
)

// TestIngressController runs a third-party ingress controller behind a load balancer. Its
// Ingresses answer on the host, and Skiff leaves Ingresses of its class alone.
func TestIngressController(t *testing.T) {
	if os.Getenv("SKIFF_E2E_INGRESS") == "" {
		t.Skip("the controller takes minutes to build: run `make e2e-ingress`")
	}
	r := newRig(t)
	const name = "controller"
	t.Cleanup(func() { r.discard(t, name) })
	r.skiff(t, "up", name, "--workers", "1")
	r.load(t, name)
	r.skiff(t, "image", "load", "--cluster", name, r.image("skipper.tar"))
	k := &kube{rig: r, context: "skiff-" + name, namespace: "ingress"}
	k.kubectl(t, "create", "namespace", k.namespace)
	t.Cleanup(func() {
		if t.Failed() {
			k.describe(t)
		}
	})
	k.apply(t, "ingress-controller.yaml")
	k.rollout(t, "deployment/skipper")
	k.rollout(t, "deployment/shop")
	e := r.entry(t, name)

	balanced := r.awaitHost(t, name, k.namespace, "skipper", 28280)
	for _, p := range k.pods(t, "app=shop") {
		for _, address := range balanced {
			r.curls(t, "200", []string{p.name}, "--header", "Host: shop.example.com", "http://"+address+"/hostname")
		}
		r.curls(t, "200", []string{p.name}, e.at(e.plain, "skipper", k.namespace)+"/hostname")
		r.curls(t, "200", []string{p.name}, e.at(e.secure, "skipper", k.namespace)+"/hostname")
	}
	r.curls(t, "404", nil, "--header", "Host: shop.example.com", "http://"+balanced[0]+"/other")
	r.curls(t, "404", []string{"No cluster answers"}, "--header", "Host: shop.example.com", "http://127.0.0.1:"+portOf(t, e.plain)+"/hostname")
	equal(t, "status of the Ingress", k.get(t, "ingress/shop", ".status.loadBalancer"), "{}")

	out := k.sh(t, k.pods(t, "app=shop")[0].name, "wget -q -O - --header 'Host: shop.example.com' http://"+k.balancer(t, "skipper")+":28280/hostname")
	contains(t, "the answer in the cluster", out, "shop-")
}
