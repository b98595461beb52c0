package apiserver

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// keyBytes is the length of a secretbox key.
const keyBytes = 32

// EncryptionConfig is an EncryptionConfiguration that keeps Secrets at rest
// under key, base64 of 32 bytes, and still reads what was written in clear.
func EncryptionConfig(key string) (string, error) {
	key = strings.TrimSpace(key)
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return "", fmt.Errorf("read encryption key: %w", err)
	}
	if len(raw) != keyBytes {
		return "", fmt.Errorf("read encryption key: %d bytes, not %d", len(raw), keyBytes)
	}
	return fmt.Sprintf(`apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
      - name: key1
        secret: %s
  - identity: {}
`, key), nil
}

// AuditPolicy records who changed what and who went into pods, without bodies.
// What components do all the time, and all reading but that of secrets, is left
// out, so that a laptop's disk is not worn by it.
const AuditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["*"]
- level: None
  resources:
  - group: ""
    resources: [events]
  - group: events.k8s.io
  - group: coordination.k8s.io
  - group: authentication.k8s.io
    resources: [tokenreviews]
  - group: authorization.k8s.io
- level: Metadata
  resources:
  - group: ""
    resources: [pods/exec, pods/attach, pods/portforward, pods/proxy, services/proxy, nodes/proxy]
- level: None
  userGroups: [system:nodes, system:serviceaccounts:kube-system]
- level: None
  users: [system:apiserver, system:kube-scheduler, system:kube-controller-manager]
- level: Metadata
  resources:
  - group: ""
    resources: [secrets]
- level: None
  verbs: [get, list, watch]
- level: Metadata
`
