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
	{"down", []string{"Its machines and disks, with everything on them, are lost."}, true},
	{"stop", []string{"Its machines are shut down with everything that runs on them. Their disks are kept."}, false},
	{"restart", []string{"All pods on that machine are restarted."}, false},
	{"etcd restore", []string{"All objects return to their state in the snapshot.", "Everything created or changed since then is lost."}, true},
	{"etcd defrag", []string{"Each member stops serving requests while it is defragmented."}, false},
}

// ownCommand runs one of skiff's own commands, as ":skiff" is told.
func ownCommand(m *Model, args []string) []screen.Request {
	if len(args) == 0 {
		return []screen.Request{screen.Say{Text: ":skiff needs a command: " + strings.Join(verbNames(m), ", ")}}
	}
	text := strings.Join(args, " ") + " "
	begins := func(command string) bool { return strings.HasPrefix(text, command+" ") }
	if m.world.ReadOnly && !slices.ContainsFunc(harmless, begins) {
		return []screen.Request{screen.Say{Text: "not available in read-only mode: skiff " + args[0], Bad: true}}
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
