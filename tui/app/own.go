package app

import (
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/screen"
)

// harmless are skiff's commands that change nothing.
var harmless = []string{"status", "list", "ls", "version", "drivers", "logs", "help", "etcd members", "image list"}

// losses are what skiff's commands take away, by their first words; these are
// asked about first.
var losses = []struct {
	command string
	lost    []string
	word    bool // the first word must be typed
}{
	{"down", []string{"Machines, disks and all that is on them are lost."}, true},
	{"stop", []string{"Its machines are shut down with all that runs in them; what is on their disks stays."}, false},
	{"restart", []string{"The pods on that machine are stopped and started again."}, false},
	{"etcd restore", []string{"All objects become those of the snapshot: what was made or changed since then", "is lost."}, true},
	{"etcd defrag", []string{"A member answers nobody while it is at it."}, false},
}

// ownCommand runs one of skiff's own commands, as ":skiff" is told.
func ownCommand(m *Model, args []string) []screen.Request {
	if len(args) == 0 {
		return []screen.Request{screen.Say{Text: "which? " + strings.Join(verbNames(m), ", ")}}
	}
	text := strings.Join(args, " ") + " "
	begins := func(command string) bool { return strings.HasPrefix(text, command+" ") }
	if m.world.ReadOnly && !slices.ContainsFunc(harmless, begins) {
		return []screen.Request{screen.Say{Text: "not in read-only mode: skiff " + args[0], Bad: true}}
	}
	run := screen.Do{Task: feed.Task{Verb: feed.VerbSkiff, Command: args}}
	for _, l := range losses {
		if !begins(l.command) {
			continue
		}
		ask := screen.Ask{Title: "Run skiff " + strings.TrimSpace(text) + "?", Lines: l.lost, Then: []screen.Request{run}}
		if l.word {
			ask.Word = strings.Fields(l.command)[len(strings.Fields(l.command))-1]
		}
		return []screen.Request{ask}
	}
	return []screen.Request{run}
}
