// Package registryapi is the protocol between the registry and its clients on
// the host: HTTP over a unix socket of mode 0600. It has only data.
package registryapi

import (
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Routes.
const (
	// PathStatus: GET answers Status.
	PathStatus = "/v1/status"
	// PathImages: GET answers a list of Image.
	PathImages = "/v1/images"
	// PathPrune: POST of a PruneRequest answers Pruned.
	PathPrune = "/v1/prune"
	// PathKeep: POST makes the registry run until PathStop, also without clusters;
	// answers Status.
	PathKeep = "/v1/keep"
	// PathStop: POST ends the registry; answers 204.
	PathStop = "/v1/stop"
	// PathUse: POST of a Use. The answer is one line, Status, and then lasts as long
	// as the registry is used: the registry runs while a cluster uses it. Before it
	// stops because the user asked for it, it sends a second line, Status with
	// Stopping set.
	PathUse = "/v1/use"
	// PathImagesAPI is the prefix of the distribution API for nodes. The parameter
	// ParameterRegistry names the registry that an image belongs to, and the header
	// HeaderCluster the cluster, which must be using the registry.
	PathImagesAPI = "/v2/"

	ParameterRegistry = "ns"
	HeaderCluster     = "Skiff-Cluster"
)

// Status is what the registry reports about itself.
type Status struct {
	PID int `json:"pid"`
	// Address is where images are pushed to, such as localhost:5001. It is the
	// beginning of their names.
	Address string `json:"address"`
	// Port of Address.
	Port int `json:"port"`
	// PortTaken is set if the usual port was taken when the registry started.
	PortTaken bool `json:"portTaken,omitempty"`
	// Clusters that use the registry, sorted.
	Clusters []string `json:"clusters"`
	// Kept is set if the registry runs until it is stopped.
	Kept bool `json:"kept"`
	// PushedBytes and CachedBytes are the sizes of the images that were pushed, and of
	// those that were pulled from other registries. Each is at most LimitBytes.
	PushedBytes int64 `json:"pushedBytes"`
	CachedBytes int64 `json:"cachedBytes"`
	LimitBytes  int64 `json:"limitBytes"`
	// Stopping is set if the user stopped the registry.
	Stopping bool `json:"stopping,omitempty"`
}

// Kind is where an image comes from.
type Kind string

// Kinds of images.
const (
	Pushed Kind = "pushed"
	Cached Kind = "cached"
)

// Image is a tag that nodes can pull.
type Image struct {
	// Name as in a pod.
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Kind   Kind   `json:"kind"`
	// Seen is when a Cached tag was last asked for at its registry.
	Seen time.Time `json:"seen,omitzero"`
}

// Use is how a cluster uses the registry.
type Use struct {
	Cluster string `json:"cluster"`
	// Mirrors and Insecure are as in the cluster's configuration.
	Mirrors  []string `json:"mirrors,omitempty"`
	Insecure []string `json:"insecure,omitempty"`
	// Egress is the cluster's policy.
	Egress string `json:"egress"`
	// Proxy is how the registry reaches others, from the host.
	Proxy nodeconfig.Proxy `json:"proxy,omitzero"`
	// Authorities are certificates in PEM that it trusts beside the host's.
	Authorities string `json:"authorities,omitempty"`
}

// PruneRequest deletes what can be pulled or built again.
type PruneRequest struct {
	DryRun bool `json:"dryRun,omitempty"`
	// All includes the images that were pushed.
	All bool `json:"all,omitempty"`
}

// Pruned is what was deleted, or would be.
type Pruned struct {
	PushedBytes int64 `json:"pushedBytes"`
	CachedBytes int64 `json:"cachedBytes"`
}
