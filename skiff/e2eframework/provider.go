// Package e2eframework provides Skiff's clusters to tests that are written with
// sigs.k8s.io/e2e-framework.
package e2eframework

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/e2e-framework/klient"
	"sigs.k8s.io/e2e-framework/support"

	"github.com/skiff-dev/skiff/skiff"
)

// Provider creates a cluster for a test environment. Use a pointer to a new one for each
// cluster. A cluster lives no longer than the test program.
type Provider struct {
	// Config of the cluster. The framework's options set its name, program and version.
	Config skiff.Config

	cluster    *skiff.Cluster
	kubeconfig string // a file that only this user can read
	// stopped has the faults of the nodes that StopNode stopped.
	stopped map[string]string
}

var (
	_ support.E2EClusterProvider                = &Provider{}
	_ support.E2EClusterProviderWithImageLoader = &Provider{}
	_ support.E2EClusterProviderWithLifeCycle   = &Provider{}
)

// ErrNoCluster reports that Create has not succeeded.
var ErrNoCluster = errors.New("the cluster has not been created")

// WithName sets the name of the cluster.
func (p *Provider) WithName(name string) support.E2EClusterProvider {
	p.Config.Name = name
	return p
}

// WithVersion sets the version of Kubernetes. Skiff has one patch release of each minor
// version, so only that counts.
func (p *Provider) WithVersion(version string) support.E2EClusterProvider {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	p.Config.Kubernetes = strings.Join(parts[:min(2, len(parts))], ".")
	return p
}

// WithPath sets the path of the program skiff.
func (p *Provider) WithPath(path string) support.E2EClusterProvider {
	p.Config.Program = path
	return p
}

// WithOpts applies options.
func (p *Provider) WithOpts(opts ...support.ClusterOpts) support.E2EClusterProvider {
	for _, o := range opts {
		o(p)
	}
	return p
}

// SetDefaults keeps what is set: the zero Config is complete.
func (p *Provider) SetDefaults() support.E2EClusterProvider { return p }

// Create creates the cluster, waits until its nodes are ready, and returns the path of a
// kubeconfig file. args are further flags of `skiff up`.
func (p *Provider) Create(ctx context.Context, args ...string) (string, error) {
	config := p.Config
	config.Flags = append(append([]string{}, config.Flags...), args...)
	cluster, err := skiff.Up(ctx, config)
	if err != nil {
		return "", err
	}
	p.cluster = cluster
	return p.GenerateKubeconfig()
}

// CreateWithConfig is like Create with a configuration file: skiff.yaml, or one of kind.
func (p *Provider) CreateWithConfig(ctx context.Context, configFile string) (string, error) {
	p.Config.File, p.Config.YAML = configFile, ""
	return p.Create(ctx)
}

// WaitForControlPlane does nothing, because Create has waited.
func (p *Provider) WaitForControlPlane(context.Context, klient.Client) error { return nil }

// GetKubeconfig returns the path of the kubeconfig file; empty before Create.
func (p *Provider) GetKubeconfig() string { return p.kubeconfig }

// GenerateKubeconfig writes the kubeconfig file. It takes no arguments.
func (p *Provider) GenerateKubeconfig(args ...string) (string, error) {
	switch {
	case len(args) > 0:
		return "", fmt.Errorf("unexpected arguments %q", args)
	case p.cluster == nil:
		return "", ErrNoCluster
	case p.kubeconfig == "":
		dir, err := os.MkdirTemp("", "skiff-"+p.cluster.Name+"-")
		if err != nil {
			return "", err
		}
		p.kubeconfig = filepath.Join(dir, "kubeconfig")
	}
	return p.kubeconfig, os.WriteFile(p.kubeconfig, p.cluster.Kubeconfig, 0o600)
}

// GetKubectlContext returns the context in the kubeconfig file.
func (p *Provider) GetKubectlContext() string {
	if p.cluster == nil {
		return ""
	}
	return "skiff-" + p.cluster.Name
}

// KubernetesRestConfig returns the configuration for client-go; nil before Create.
func (p *Provider) KubernetesRestConfig() *rest.Config {
	if p.cluster == nil {
		return nil
	}
	return rest.CopyConfig(p.cluster.RESTConfig)
}

// Cluster returns the cluster, for what the framework has no function for, such as faults;
// nil before Create.
func (p *Provider) Cluster() *skiff.Cluster { return p.cluster }

// ExportLogs writes the logs of the cluster to a directory.
func (p *Provider) ExportLogs(ctx context.Context, dest string) error {
	if p.cluster == nil {
		return ErrNoCluster
	}
	return p.cluster.ExportLogs(ctx, dest)
}

// Destroy deletes the cluster.
func (p *Provider) Destroy(ctx context.Context) error {
	if p.cluster == nil {
		return nil
	}
	if err := p.cluster.Down(ctx); err != nil {
		return err
	}
	p.cluster = nil
	if p.kubeconfig == "" {
		return nil
	}
	dir := filepath.Dir(p.kubeconfig)
	p.kubeconfig = ""
	return os.RemoveAll(dir)
}

// LoadImage loads an image from a container engine on this host onto all nodes. It takes no
// arguments.
func (p *Provider) LoadImage(ctx context.Context, image string, args ...string) error {
	switch {
	case p.cluster == nil:
		return ErrNoCluster
	case len(args) > 0:
		return fmt.Errorf("unexpected arguments %q", args)
	}
	return p.cluster.LoadImage(ctx, image)
}

// LoadImageArchive loads the images of an archive onto all nodes.
func (p *Provider) LoadImageArchive(ctx context.Context, archive string, args ...string) error {
	return p.LoadImage(ctx, archive, args...)
}
