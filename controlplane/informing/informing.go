// Package informing starts informers the same way with every supported version of
// Kubernetes: with the caller's context where upstream takes one.
package informing
