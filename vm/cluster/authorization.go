package cluster

import (
	"errors"
	"fmt"
	"slices"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// required are the types of authorizers without which a cluster does not work.
var required = []string{"Node", "RBAC"}

// checkAuthorization returns what is wrong with an AuthorizationConfiguration. Upstream's
// own check follows on a node.
func checkAuthorization(server nodeconfig.APIServer, names *kubenames.Names) []error {
	faults := checkDocument("AuthorizationConfiguration", server.AuthorizationConfig, names, nil)
	if len(faults) > 0 || len(server.AuthorizationConfig) == 0 {
		return faults
	}
	var types, seen []string
	authorizers, _ := server.AuthorizationConfig["authorizers"].([]any)
	for i, one := range authorizers {
		authorizer, _ := one.(map[string]any)
		kind, _ := authorizer["type"].(string)
		name, _ := authorizer["name"].(string)
		types = append(types, kind)
		if slices.Contains(seen, name) {
			faults = append(faults, fmt.Errorf("authorizers[%d].name: there are several authorizers named %q", i, name))
		}
		seen = append(seen, name)
		if err := checkAuthorizer(authorizer, server.WebhookKubeconfigs[name]); err != nil {
			faults = append(faults, fmt.Errorf("authorizers[%d]: %w", i, err))
		}
	}
	for _, kind := range required {
		if !slices.Contains(types, kind) {
			faults = append(faults, fmt.Errorf("authorizers: type %s is missing: the cluster needs it", kind))
		}
	}
	return faults
}

// checkAuthorizer returns what is wrong with one authorizer. kubeconfig is the content of
// the kubeconfig file that it names.
func checkAuthorizer(authorizer map[string]any, kubeconfig string) error {
	const fromFile = "KubeConfigFile"
	kind, _ := authorizer["type"].(string)
	webhook, _ := authorizer["webhook"].(map[string]any)
	connection, _ := webhook["connectionInfo"].(map[string]any)
	source, _ := connection["type"].(string)
	switch {
	case kind != "Webhook" && !slices.Contains(required, kind):
		return fmt.Errorf("type is %q: use Webhook, Node or RBAC", kind)
	case kind != "Webhook":
		return nil
	case source != fromFile:
		return fmt.Errorf("webhook.connectionInfo.type is %q: use %s", source, fromFile)
	case kubeconfig == "":
		return errors.New("webhook.connectionInfo.kubeConfigFile is missing: use the path of a kubeconfig file on this host")
	}
	return nil
}
