package cluster

// Action is one kind of Step.
type Action string

// The actions.
const (
	ActionPrepare Action = "prepare" // create certificates, network and driver
	ActionResume  Action = "resume"  // let a paused machine continue and set its clock
	ActionCreate  Action = "create"  // create a machine's disk
	ActionStart   Action = "start"   // start a machine
	ActionBoot    Action = "boot"    // wait until the node API answers
	ActionRestore Action = "restore" // finish or undo an interrupted restore of etcd
	ActionServe   Action = "serve"   // wait until the API server is ready
	ActionJoin    Action = "join"    // wait until a node has registered
	ActionWait    Action = "wait"    // wait until a node is Ready
	// ActionConfigure gives running nodes the settings of Kubernetes' components.
	ActionConfigure Action = "configure"
	ActionDrain     Action = "drain"  // evict the pods of a node
	ActionLeave     Action = "leave"  // remove a control plane from etcd
	ActionDelete    Action = "delete" // delete a machine, its disk and its node object
)

// Step is one thing to do. It is safe to run a step again.
type Step struct {
	Action Action `json:"action"`
	// Node is empty for a step that concerns the whole cluster.
	Node string `json:"node,omitempty"`
	// Reason is one line for users: why the step is needed.
	Reason string `json:"reason,omitempty"`
	// After holds the IDs of the steps that must be done before this one. They
	// precede it in the plan.
	After []string `json:"after,omitempty"`
}

// ID identifies the step in its plan: "start worker-1".
func (s Step) ID() string {
	if s.Node == "" {
		return string(s.Action)
	}
	return string(s.Action) + " " + s.Node
}

// String returns the step for users: "start worker-1 (stopped)".
func (s Step) String() string {
	if s.Reason == "" {
		return s.ID()
	}
	return s.ID() + " (" + s.Reason + ")"
}
