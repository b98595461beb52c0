package ui

import (
	"os"
	"path/filepath"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
)

// otherCluster is the cluster of a kubeconfig that need not be Skiff's.
type otherCluster struct {
	name, context string
	kubeconfig    []byte
}

func readOther(path, contextName string) (*otherCluster, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, cli.Invalid("", "--kubeconfig: %s", err)
	}
	file, err := clientcmd.Load(content)
	if err != nil {
		return nil, cli.Invalid("", "--kubeconfig: %s: %s", path, err)
	}
	if contextName == "" {
		contextName = file.CurrentContext
	}
	if file.Contexts[contextName] == nil {
		return nil, cli.Invalid("choose one with --context", "%s: no context named %q", path, contextName)
	}
	if err := clientcmd.ResolveLocalPaths(relocate(file, path)); err != nil {
		return nil, err
	}
	if content, err = clientcmd.Write(*file); err != nil {
		return nil, err
	}
	return &otherCluster{name: contextName, context: contextName, kubeconfig: content}, nil
}

// relocate makes the relative paths in a kubeconfig relative to its directory.
func relocate(file *clientcmdapi.Config, path string) *clientcmdapi.Config {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	for _, c := range file.Clusters {
		c.LocationOfOrigin = path
	}
	for _, u := range file.AuthInfos {
		u.LocationOfOrigin = path
	}
	return file
}
