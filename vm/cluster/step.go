package cluster

// Action is one kind of Step.
type Action string

// The actions.
const (
	// ActionClone copies the machines of a snapshot. It precedes all others, and is not part of
	// Plan.
	ActionClone   Action = "clone"
	ActionPrepare Action = "prepare" // create certificates, network and driver
	ActionClear   Action = "clear"   // end the faults that are active on purpose
	ActionResume  Action = "resume"  // let a paused machine continue and set its clock
	ActionCreate  Action = "create"  // create a machine's disk
	ActionStart   Action = "start"   // start a machine
	ActionBoot    Action = "boot"    // wait until the node API answers
	ActionRestore Action = "restore" // finish or undo an interrupted restore of etcd
	ActionServe   Action = "serve"   // wait until the API server is ready
	ActionAdopt   Action = "adopt"   // replace authorities and tokens in the objects of a clone
	ActionJoin    Action = "join"    // wait until a node has registered
	ActionWait    Action = "wait"    // wait until a node is Ready
	// ActionConfigure gives running nodes the settings of Kubernetes' components.
	ActionConfigure Action = "configure"
	ActionLabel     Action = "label"    // set labels and taints of a node
	ActionSimulate  Action = "simulate" // create and delete simulated nodes
	ActionGrow      Action = "grow"     // enlarge a machine's disk
	ActionStop      Action = "stop"     // shut a machine down
	ActionSnapshot  Action = "snapshot" // save a snapshot of etcd on the host
	ActionDrain     Action = "drain"    // evict the pods of a node
	ActionRestart   Action = "restart"  // restart a machine with another size or node image
	ActionReplace   Action = "replace"  // replace a machine by a new one of the same name
	ActionUncordon  Action = "uncordon" // let a node take pods again
	ActionLeave     Action = "leave"    // remove a control plane from etcd
	ActionDelete    Action = "delete"   // delete a machine, its disk and its node object; or an addon
	// ActionApply applies an addon and waits until it is ready. It follows all others, and is
	// not part of Plan: `skiff up` applies addons, because it has read their files.
	ActionApply Action = "apply"
)

// Step is one thing to do. It is safe to run a step again.
type Step struct {
	Action Action `json:"action"`
	// Node is empty for a step that concerns the whole cluster.
	Node string `json:"node,omitempty"`
	// Addon is set for a step that concerns an addon.
	Addon string `json:"addon,omitempty"`
	// Reason is one line for users: why the step is needed.
	Reason string `json:"reason,omitempty"`
	// After holds the IDs of the steps that must be done before this one. They
	// precede it in the plan.
	After []string `json:"after,omitempty"`
}

// ID identifies the step in its plan: "start worker-1".
func (s Step) ID() string {
	if s.Addon != "" {
		return string(s.Action) + " addon " + s.Addon
	}
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
