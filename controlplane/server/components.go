package server

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/controlplane/apiserver"
	"github.com/skiff-dev/skiff/controlplane/controllers"
	"github.com/skiff-dev/skiff/controlplane/scheduler"
	"github.com/skiff-dev/skiff/controlplane/transport"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/names"
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
	authentication := s.Components.APIServer.AuthenticationConfig
	if len(authentication) == 0 {
		return s, nil
	}
	content, err := json.Marshal(authentication)
	if err != nil {
		return s, fmt.Errorf("encode the authentication configuration: %w", err)
	}
	s.AuthenticationConfig = filepath.Join(lasting, "authentication.yaml")
	if err := atomicfile.Write(s.AuthenticationConfig, content, 0o600); err != nil {
		return s, fmt.Errorf("write the authentication configuration: %w", err)
	}
	return s, nil
}
