// Package logs tests the path of log lines from the files of a node into the store on
// the host, with everything but the cluster: the node's spool, the daemon's path to it,
// the process of the store, and queries. Pods write as kubelets and runtimes do.
//
// The test takes seconds; `make logs-flow` runs it for a minute.
package logs
