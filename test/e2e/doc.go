// Package e2e tests that unmodified Kubernetes manifests and clients work on
// real clusters. It creates clusters with bin/skiff, uses them with stock kubectl
// and Helm, breaks them, and deletes them without leaving a trace.
//
// The tests only run with SKIFF_E2E=1, so that `go test ./...` needs no machines.
// `make e2e` sets it and builds everything that the tests need. Other settings,
// for work on the tests themselves:
//
//	SKIFF_E2E_KUBECONFIG  only run the workload tests, on the cluster of this
//	                      kubeconfig, whose nodes must have the images
//	SKIFF_E2E_KEEP        keep the clusters and SKIFF_HOME
//
// Measurements, and everything needed to understand a failure, are written to
// build/e2e.
package e2e
