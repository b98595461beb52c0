package cluster

// Action is one kind of Step.
type Action string

// The actions, in the order in which a plan has them.
const (
	ActionPrepare Action = "prepare" // make certificates
	ActionCreate  Action = "create"  // make a machine's disk
	ActionResume  Action = "resume"  // let a paused machine go on
	ActionStart   Action = "start"   // boot a machine
	ActionDrain   Action = "drain"   // move pods away, then forget the node
	ActionLeave   Action = "leave"   // take a control plane out of etcd
	ActionDelete  Action = "delete"  // remove a machine and its disk
	ActionWait    Action = "wait"    // until a node is Ready
)

// Step is one thing to do. Every step may be done twice.
type Step struct {
	Action Action `json:"action"`
	// Node is empty for what concerns the whole cluster.
	Node string `json:"node,omitempty"`
	// Reason is for people, one line: why the step is needed.
	Reason string `json:"reason,omitempty"`
}

// String is the step for people: "start worker-1 (stopped)".
func (s Step) String() string {
	text := string(s.Action)
	if s.Node != "" {
		text += " " + s.Node
	}
	if s.Reason != "" {
		text += " (" + s.Reason + ")"
	}
	return text
}
