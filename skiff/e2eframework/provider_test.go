package e2eframework

import (
	"context"
	"errors"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/e2e-framework/pkg/env"
	"sigs.k8s.io/e2e-framework/pkg/envconf"
	"sigs.k8s.io/e2e-framework/pkg/envfuncs"
	"sigs.k8s.io/e2e-framework/pkg/features"
	"sigs.k8s.io/e2e-framework/support"

	"github.com/skiff-dev/skiff/skiff"
)

func TestTheFrameworksOptionsBecomeTheConfiguration(t *testing.T) {
	p := &Provider{}
	p.WithName("a").WithPath("/skiff").WithVersion("v1.36.3").SetDefaults().WithOpts(func(c support.E2EClusterProvider) {
		c.(*Provider).Config.Driver = "sandbox"
	})
	if c := p.Config; c.Name != "a" || c.Program != "/skiff" || c.Kubernetes != "1.36" || c.Driver != "sandbox" {
		t.Errorf("configuration %+v", c)
	}
}

func TestAProviderWithoutAClusterSaysSo(t *testing.T) {
	p, ctx, node := &Provider{}, t.Context(), &support.Node{Name: "worker-1"}
	_, generated := p.GenerateKubeconfig()
	_, listed := p.ListNode(ctx)
	for what, err := range map[string]error{
		"kubeconfig": generated, "nodes": listed, "logs": p.ExportLogs(ctx, "logs"), "image": p.LoadImage(ctx, "a"),
		"add": p.AddNode(ctx, node), "remove": p.RemoveNode(ctx, node), "stop": p.StopNode(ctx, node), "start": p.StartNode(ctx, node),
	} {
		if !errors.Is(err, ErrNoCluster) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := p.Destroy(ctx); err != nil || p.KubernetesRestConfig() != nil || p.GetKubeconfig() != "" || p.GetKubectlContext() != "" {
		t.Errorf("destroy: %v", err)
	}
}

// TestRealCluster runs a test environment of the framework on sandboxes. The project's
// end-to-end tests run it.
func TestRealCluster(t *testing.T) {
	if os.Getenv("SKIFF_E2E") == "" {
		t.Skip("SKIFF_E2E=1 and an installed skiff are needed")
	}
	p := &Provider{Config: skiff.Config{Driver: os.Getenv("SKIFF_DRIVER"), YAML: "controlPlanes: 1\nworkers: 1\nmemory: 1536Mi\n"}}
	ctx, err := envfuncs.CreateCluster(p, "framework")(t.Context(), envconf.New())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	config := envconf.NewWithKubeConfig(p.GetKubeconfig())
	environment, err := env.NewWithContext(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	environment.Test(t, features.New("nodes").Assess("are ready", func(ctx context.Context, t *testing.T, config *envconf.Config) context.Context {
		var nodes corev1.NodeList
		if err := config.Client().Resources().List(ctx, &nodes); err != nil || len(nodes.Items) != 2 {
			t.Errorf("%d nodes, %v", len(nodes.Items), err)
		}
		return ctx
	}).Feature())
	nodes, err := p.ListNode(ctx)
	if err != nil || len(nodes) != 2 || nodes[0].IP == nil {
		t.Fatalf("nodes %+v, %v", nodes, err)
	}
	if err := errors.Join(p.StopNode(ctx, &support.Node{Name: "worker-1"}), p.StartNode(ctx, &support.Node{Name: "worker-1"})); err != nil {
		t.Error(err)
	}
}
