package daemonapi

import "time"

// RotateAuthorities configures a rotation of authorities.
type RotateAuthorities struct {
	// Only are names of package pki (RotationNames), in their order; empty for all.
	Only []string `json:"only,omitempty"`
	// Prepare stops once everything trusts the new authorities beside the old ones.
	Prepare bool `json:"prepare,omitempty"`
	// Revoke refuses old tokens of service accounts at once, after kubelets were restarted.
	Revoke bool `json:"revoke,omitempty"`
}

// PKI describes a cluster's authorities and certificates.
type PKI struct {
	// Rotation is nil if none is in progress.
	Rotation     *Rotation     `json:"rotation,omitempty"`
	Authorities  []Authority   `json:"authorities"`
	Certificates []Certificate `json:"certificates"`
}

// Rotation is the progress of a rotation of authorities.
type Rotation struct {
	Phase Phase `json:"phase"`
	// Names are what is replaced.
	Names []string `json:"names"`
	// TokensUntil is until when old tokens are accepted at least; zero while that is unknown.
	TokensUntil time.Time `json:"tokensUntil,omitzero"`
}

// Authority is an authority, or the key of service accounts, that is trusted.
type Authority struct {
	Name    string    `json:"name"`
	Subject string    `json:"subject,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	// ID is the key's.
	ID string `json:"id"`
	// Fingerprint is the SHA-256 sum of the certificate or the public key.
	Fingerprint string `json:"fingerprint"`
	// Generation is "current"; during a rotation "old" or "new" for what is replaced.
	Generation string `json:"generation"`
	// Signs is true for the one that signs now.
	Signs bool `json:"signs"`
}

// Certificate is a certificate of the host or of a node.
type Certificate struct {
	// Node is empty for the host's.
	Node    string    `json:"node,omitempty"`
	Name    string    `json:"name"`
	Subject string    `json:"subject,omitempty"`
	Expires time.Time `json:"expires"`
	// Issuer is the ID of the authority's key.
	Issuer string `json:"issuer,omitempty"`
	// Generation is that of the authority; "unknown" if it is none of the cluster's.
	Generation string `json:"generation"`
}
