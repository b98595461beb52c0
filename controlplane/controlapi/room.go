package controlapi

// RoomRequest asks on which new nodes pods would fit that cannot be scheduled for lack of
// room, and which nodes the cluster could do without.
type RoomRequest struct {
	// Groups are the groups that may grow.
	Groups []RoomGroup `json:"groups,omitempty"`
	// Coming nodes exist or are about to, and will take pods soon. Pods that fit on them need
	// no other node.
	Coming []RoomNode `json:"coming,omitempty"`
	// Candidates are the names of the nodes that may be removed.
	Candidates []string `json:"candidates,omitempty"`
}

// RoomGroup is a group of nodes that are alike.
type RoomGroup struct {
	Name string `json:"name"`
	// Labels of each node, without that of its zone and of its name.
	Labels map[string]string `json:"labels,omitempty"`
	// Taints in kubectl's notation.
	Taints []string `json:"taints,omitempty"`
	Size   RoomSize `json:"size"`
	// Model is a node that exists, of the size ModelSize. What pods can use of a node follows
	// from it. SameGroup is set if it belongs to the group.
	Model     string   `json:"model"`
	ModelSize RoomSize `json:"modelSize"`
	SameGroup bool     `json:"sameGroup,omitempty"`
	// Fresh are the nodes that the group may still get, in this order.
	Fresh []RoomNode `json:"fresh,omitempty"`
}

// RoomSize is the size of a machine.
type RoomSize struct {
	CPUs      int `json:"cpus"`
	MemoryMiB int `json:"memoryMiB"`
	DiskMiB   int `json:"diskMiB"`
}

// RoomNode is a node that does not exist yet.
type RoomNode struct {
	Name string `json:"name"`
	// Group is the name of its RoomGroup.
	Group string `json:"group"`
	Zone  string `json:"zone,omitempty"`
}

// Room answers a RoomRequest.
type Room struct {
	// Needs are the new nodes that pods need.
	Needs []Need `json:"needs,omitempty"`
	// Unfit are pods that cannot be scheduled and would fit on no new node.
	Unfit []PodReference `json:"unfit,omitempty"`
	// Spare says about each candidate whether the cluster could do without it; empty while
	// there are Needs.
	Spare []Spare `json:"spare,omitempty"`
}

// Need is a number of new nodes of a group.
type Need struct {
	Group string `json:"group"`
	Nodes int    `json:"nodes"`
	// Pods that fit on them.
	Pods []PodReference `json:"pods"`
}

// PodReference names a pod.
type PodReference struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	// Reason is why it fits nowhere; empty for a pod that fits.
	Reason string `json:"reason,omitempty"`
}

// Spare is a node that may be removed.
type Spare struct {
	Node string `json:"node"`
	// Needed is why the node has to stay, in a few words for users; empty if the cluster
	// could do without it.
	Needed string `json:"needed,omitempty"`
	// Pods is the number of pods that would have to move.
	Pods int `json:"pods"`
}
