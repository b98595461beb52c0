package feed

import (
	"errors"
	"strconv"

	"github.com/skiff-dev/skiff/tui/object"
)

// Verb is what a Task does.
type Verb string

// Verbs on objects of a cluster.
const (
	VerbDelete   Verb = "delete"
	VerbKill     Verb = "kill" // delete without grace
	VerbScale    Verb = "scale"
	VerbRestart  Verb = "restart"
	VerbUndo     Verb = "undo"
	VerbCordon   Verb = "cordon"
	VerbUncordon Verb = "uncordon"
	VerbDrain    Verb = "drain"
	VerbTrigger  Verb = "trigger"
	VerbSuspend  Verb = "suspend"
	VerbForward  Verb = "forward"
	VerbUnbind   Verb = "stop forward"
	VerbCopy     Verb = "copy"
	VerbSkiff    Verb = "skiff" // a command of skiff's own
)

// Verbs that need the terminal for themselves.
const (
	VerbEdit   Verb = "edit"
	VerbShell  Verb = "shell"
	VerbAttach Verb = "attach"
)

// ErrUnchanged says that an edit was left without a change.
var ErrUnchanged = errors.New("edit cancelled, no changes made")

// Task is something to be done, as a value.
type Task struct {
	Verb Verb
	Refs []object.Ref
	// Args by name: "replicas", "revision", "container", "port", "local",
	// "from", "to".
	Args map[string]string
	// Command is that of VerbSkiff: ["up", "ci", "--workers", "3"].
	Command []string
}

// Title says in a line what the task does.
func (t Task) Title() string {
	if t.Verb == VerbSkiff {
		text := "skiff"
		for _, word := range t.Command {
			text += " " + word
		}
		return text
	}
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

// Facts are what must be known of an object before something is done with it.
type Facts struct {
	// Selector of its pods, "" if it selects none.
	Selector string
	// Ports by number or name, as a forward takes them.
	Ports []string
	// Containers that run, of a pod.
	Containers []string
	// Node that a pod is on, empty if it is on none.
	Node string
	// Replicas that are wanted, -1 if it has none.
	Replicas int64
	// Owner is the object that controls it.
	Owner *object.Ref
	// Loss is what is lost when the object is deleted, a line each.
	Loss []string
}
