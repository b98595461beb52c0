package server

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/skiff-dev/skiff/controlplane/apiserver"
	"github.com/skiff-dev/skiff/controlplane/controllers"
	"github.com/skiff-dev/skiff/controlplane/scheduler"
	"github.com/skiff-dev/skiff/controlplane/transport"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Check returns an error if the control plane would not start with the user's settings
// of components. It serves and changes nothing. It needs a process of its own, because
// feature gates are global.
func Check(ctx context.Context, s Settings) error {
	private, err := os.MkdirTemp(s.PrivateDir, "check-")
	if err != nil {
		return fmt.Errorf("create a private directory: %w", err)
	}
	defer os.RemoveAll(private)
	api, err := withFiles(s.apiserver(), private, private)
	if err != nil {
		return err
	}
	api.AuditLog = filepath.Join(private, "audit.log")
	if err := apiserver.Check(ctx, api); err != nil {
		return err
	}
	if err := controllers.Check(ctx, s.controllers()); err != nil {
		return err
	}
	memory := transport.NewServer()
	return scheduler.Check(ctx, scheduler.Settings{
		Client: memory.Client(transport.User(names.UserScheduler)), Config: s.Components.Scheduler.Config,
	})
}

// withFiles writes the files that the API server reads, and returns the settings with
// their paths: those that it reads once are in the directory brief, those that it reads
// again when they change in lasting.
func withFiles(s apiserver.Settings, brief, lasting string) (apiserver.Settings, error) {
	policy := []byte(apiserver.AuditPolicy)
	var err error
	if user := s.Components.APIServer.AuditPolicy; len(user) > 0 {
		if policy, err = json.Marshal(user); err != nil {
			return s, fmt.Errorf("encode the audit policy: %w", err)
		}
	}
	s.AuditPolicy = filepath.Join(brief, "audit.yaml")
	if err := atomicfile.Write(s.AuditPolicy, policy, 0o600); err != nil {
		return s, fmt.Errorf("write the audit policy: %w", err)
	}
	if config := s.Components.APIServer.AuthenticationConfig; len(config) > 0 {
		s.AuthenticationConfig = filepath.Join(lasting, "authentication.yaml")
		if err := writeConfig(s.AuthenticationConfig, config); err != nil {
			return s, fmt.Errorf("write the authentication configuration: %w", err)
		}
	}
	if config := s.Components.APIServer.AuthorizationConfig; len(config) > 0 {
		s.AuthorizationConfig = filepath.Join(lasting, "authorization.yaml")
		if err := writeAuthorization(s.AuthorizationConfig, s.Components.APIServer); err != nil {
			return s, fmt.Errorf("write the authorization configuration: %w", err)
		}
	}
	return s, nil
}

func writeConfig(path string, config map[string]any) error {
	content, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, content, 0o600)
}

// writeAuthorization writes an AuthorizationConfiguration, and beside it the kubeconfig
// files of its webhooks.
func writeAuthorization(path string, s nodeconfig.APIServer) error {
	config := runtime.DeepCopyJSON(s.AuthorizationConfig)
	authorizers, _ := config["authorizers"].([]any)
	for i, one := range authorizers {
		authorizer, _ := one.(map[string]any)
		name, _ := authorizer["name"].(string)
		kubeconfig, ok := s.WebhookKubeconfigs[name]
		if !ok {
			continue
		}
		file := fmt.Sprintf("%s.kubeconfig-%d", path, i)
		if err := atomicfile.Write(file, []byte(kubeconfig), 0o600); err != nil {
			return err
		}
		if err := unstructured.SetNestedField(authorizer, file, "webhook", "connectionInfo", "kubeConfigFile"); err != nil {
			return err
		}
	}
	return writeConfig(path, config)
}
