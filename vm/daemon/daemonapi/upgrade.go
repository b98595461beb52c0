package daemonapi

// UpgradeRequest asks for another node image.
type UpgradeRequest struct {
	// ImageDir holds the node images.
	ImageDir string `json:"imageDir"`
	// Kubernetes is the minor version, as in "1.36"; empty keeps the cluster's.
	Kubernetes string `json:"kubernetes,omitempty"`
	Draining
}

// Upgrade is an upgrade that is not finished.
type Upgrade struct {
	// From and To are releases of Kubernetes, which may be the same.
	From string `json:"from"`
	To   string `json:"to"`
	// Change is what differs between the node images, for users.
	Change string `json:"change"`
	// Failed is why it stopped; empty while it is in progress.
	Failed string `json:"failed,omitempty"`
	// Snapshot is the file with the database from before the upgrade; empty if there is none
	// yet.
	Snapshot string `json:"snapshot,omitempty"`
}
