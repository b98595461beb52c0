//go:build tools

// Package etcd pins the etcd that a test deploys in a pod, apart from the one
// that Skiff's control plane embeds.
package etcd

import _ "go.etcd.io/etcd/server/v3"
