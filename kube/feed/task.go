package feed

import (
	"errors"
	"strconv"

	"github.com/skiff-dev/skiff/kube/object"
)

// Verb is the action of a Task.
type Verb string

// Verbs that run in the background.
const (
	VerbDelete      Verb = "delete"
	VerbKill        Verb = "kill" // delete without a grace period
	VerbScale       Verb = "scale"
	VerbRestart     Verb = "restart"
	VerbUndo        Verb = "undo"
	VerbCordon      Verb = "cordon"
	VerbUncordon    Verb = "uncordon"
	VerbDrain       Verb = "drain"
	VerbTrigger     Verb = "trigger"
	VerbSuspend     Verb = "suspend"
	VerbForward     Verb = "forward"
	VerbStopForward Verb = "stop forward"
	VerbCopy        Verb = "copy"
)

// Verbs that take over the terminal.
const (
	VerbEdit   Verb = "edit"
	VerbShell  Verb = "shell"
	VerbAttach Verb = "attach"
)

// ErrUnchanged is returned by an edit that changed nothing.
var ErrUnchanged = errors.New("edit cancelled, no changes made")

// Task is an action on objects.
type Task struct {
	Verb Verb
	Refs []object.Ref
	// Args are the action's arguments by name: "replicas", "revision", "container", "port", "local",
	// "from", "to".
	Args map[string]string
	// DryRun asks the server to check the task without changing anything.
	DryRun bool
}

// Title describes the task in one line.
func (t Task) Title() string {
	text := string(t.Verb)
	if len(t.Refs) > 0 {
		text += " " + t.Refs[0].String()
	}
	if more := len(t.Refs) - 1; more > 0 {
		text += " and " + plural(more, "other")
	}
	return text
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// Facts are properties of an object that an action on it needs.
type Facts struct {
	// Selector of the object's pods; empty if it selects none.
	Selector string
	// Ports by number or name, as a port-forward accepts them.
	Ports []string
	// Containers of the pod.
	Containers []string
	// Node that runs the pod; empty if it is not scheduled.
	Node string
	// Replicas is the desired number; -1 if the object has none.
	Replicas int64
	// Owner is the object that controls it.
	Owner *object.Ref
	// Loss lists, one per line, what is lost when the object is deleted.
	Loss []string
}
