package settings

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// authorization is the path of a file with an AuthorizationConfiguration. The kubeconfig
// files that it names become part of the setting.
func authorization(s Setting, at func(*cluster.Spec) *nodeconfig.APIServer) Setting {
	s = document(s, func(spec *cluster.Spec) *map[string]any { return &at(spec).AuthorizationConfig })
	read := s.put
	s.put = func(spec *cluster.Spec, value any) error {
		at(spec).WebhookKubeconfigs = nil
		if err := read(spec, value); err != nil {
			return err
		}
		path, _ := value.(string)
		all, err := takeKubeconfigs(at(spec).AuthorizationConfig, filepath.Dir(path))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		at(spec).WebhookKubeconfigs = all
		return nil
	}
	return s
}

// takeKubeconfigs removes the paths of kubeconfig files from an
// AuthorizationConfiguration, and returns the contents of the files by the authorizer's
// name. Values of an unexpected type are left to the check of all fields.
func takeKubeconfigs(config map[string]any, dir string) (map[string]string, error) {
	authorizers, _ := config["authorizers"].([]any)
	var all map[string]string
	for _, one := range authorizers {
		authorizer, _ := one.(map[string]any)
		webhook, _ := authorizer["webhook"].(map[string]any)
		connection, _ := webhook["connectionInfo"].(map[string]any)
		name, _ := authorizer["name"].(string)
		path, ok := connection["kubeConfigFile"].(string)
		if !ok || path == "" {
			continue
		}
		path, err := absolutePath(path, dir)
		if err != nil {
			return nil, err
		}
		content, err := flatKubeconfig(path)
		if err != nil {
			return nil, fmt.Errorf("kubeConfigFile of authorizer %q: %s: %w", name, path, err)
		}
		delete(connection, "kubeConfigFile")
		if all == nil {
			all = map[string]string{}
		}
		all[name] = content
	}
	return all, nil
}

// flatKubeconfig reads the current context of a kubeconfig file, and includes the files
// that it names: nodes do not have them.
func flatKubeconfig(path string) (string, error) {
	content, err := readBounded(path)
	if err != nil {
		return "", err
	}
	config, err := clientcmd.Load(content)
	if err != nil {
		return "", fmt.Errorf("not a kubeconfig file: %s", plain(err))
	}
	if err := clientcmdapi.MinifyConfig(config); err != nil {
		return "", errors.New(plain(err))
	}
	for _, cluster := range config.Clusters {
		cluster.LocationOfOrigin = path
		if server, err := url.Parse(cluster.Server); err != nil || server.Hostname() == "localhost" || net.ParseIP(server.Hostname()).IsLoopback() {
			return "", fmt.Errorf("server %q is not reachable from nodes: for a port of this host, use host.skiff.internal and the setting hostPorts", cluster.Server)
		}
	}
	for _, user := range config.AuthInfos {
		user.LocationOfOrigin = path
		if user.Exec != nil || user.AuthProvider != nil {
			return "", errors.New("it runs a program to authenticate, which nodes do not have: use a token or a certificate")
		}
	}
	if err := clientcmd.ResolveLocalPaths(config); err != nil {
		return "", err
	}
	for _, user := range config.AuthInfos {
		if user.TokenFile == "" {
			continue
		}
		token, err := readBounded(user.TokenFile)
		if err != nil {
			return "", fmt.Errorf("%s: %w", user.TokenFile, err)
		}
		user.Token, user.TokenFile = strings.TrimSpace(string(token)), ""
	}
	if err := clientcmdapi.FlattenConfig(config); err != nil {
		var missing *os.PathError
		if errors.As(err, &missing) {
			return "", fmt.Errorf("%s: %w", missing.Path, missing.Err)
		}
		return "", err
	}
	flat, err := clientcmd.Write(*config)
	return string(flat), err
}
