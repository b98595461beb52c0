package skiff_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/skiff-dev/skiff/skiff"
)

// A cluster of three nodes for a test program. It is deleted at the end, even if the program
// is killed.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cluster, err := skiff.Up(ctx, skiff.Config{YAML: "workers: 2\n"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cluster.Down(context.WithoutCancel(ctx)) }()

	client, err := kubernetes.NewForConfig(cluster.RESTConfig)
	if err != nil {
		log.Fatal(err)
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(nodes.Items), "nodes")

	// How does the application cope with a slow network?
	fault := skiff.Fault{Kind: skiff.FaultLatency, Targets: []string{"worker-1"}, For: time.Minute, Delay: 100 * time.Millisecond}
	if _, err := cluster.Inject(ctx, fault); err != nil {
		log.Fatal(err)
	}
}

// TestRealCluster runs the example's steps, and more, on sandboxes. The project's end-to-end
// tests run it.
func TestRealCluster(t *testing.T) {
	if os.Getenv("SKIFF_E2E") == "" {
		t.Skip("SKIFF_E2E=1 and an installed skiff are needed")
	}
	ctx := t.Context()
	var phases []string
	cluster, err := skiff.Up(ctx, skiff.Config{
		Name: "gopackage", YAML: "controlPlanes: 1\nmemory: 1536Mi\n", Driver: os.Getenv("SKIFF_DRIVER"),
		Workers:  skiff.Range{Min: 1, Max: 2},
		Progress: func(e skiff.Event) { phases = append(phases, e.Phase+" "+e.State) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d events, the last is %s", len(phases), phases[len(phases)-1])
	client, err := kubernetes.NewForConfig(cluster.RESTConfig)
	if err != nil {
		t.Fatal(err)
	}
	if nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{}); err != nil || len(nodes.Items) != 2 {
		t.Errorf("%d nodes, %v", len(nodes.Items), err)
	}
	if nodes, err := cluster.Nodes(ctx); err != nil || len(nodes) != 2 || nodes[0].Ready != "True" || nodes[0].Address == "" {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
	if status, err := cluster.Run(ctx, nil, "status"); err != nil || !strings.Contains(string(status), "worker: 1 node, 1 to 2") {
		t.Errorf("status %s, %v", status, err)
	}
	id, err := cluster.Inject(ctx, skiff.Fault{Kind: skiff.FaultLatency, Targets: []string{"worker-1"}, Delay: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.ClearFaults(ctx, id); err != nil {
		t.Error(err)
	}
	if image := os.Getenv("SKIFF_E2E_IMAGE"); image != "" {
		if err := cluster.LoadImage(ctx, image); err != nil {
			t.Error(err)
		}
	}
	if _, err := skiff.Up(ctx, skiff.Config{Name: "gopackage"}); err == nil {
		t.Error("a cluster that exists became temporary")
	}
	if opened, err := skiff.Open(ctx, skiff.Config{Name: "gopackage"}); err != nil || opened.RESTConfig.Host != cluster.RESTConfig.Host {
		t.Errorf("open: %v", err)
	}
}
