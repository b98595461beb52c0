// Package e2e shows that unmodified Kubernetes manifests and clients work on
// real clusters: it brings clusters up with bin/skiff, drives them with the
// stock kubectl and Helm, breaks them, and takes them down without a trace.
//
// Its tests run only with SKIFF_E2E=1, so that `go test ./...` needs no
// machines. `make e2e` sets it and builds what the tests need before. Further
// settings, for work on the tests themselves:
//
//	SKIFF_E2E_KUBECONFIG  run the workload tests alone, on the cluster of this
//	                      kubeconfig; its nodes have the images already
//	SKIFF_E2E_KEEP        leave the clusters and SKIFF_HOME behind
//
// What was measured, and everything needed to understand a failure, is left in
// build/e2e.
package e2e
