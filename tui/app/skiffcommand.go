package app

import (
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/tui/machine"
	"github.com/skiff-dev/skiff/tui/screen"
)

// readOnlyCommands are the skiff commands that change nothing.
var readOnlyCommands = []string{"status", "list", "ls", "version", "drivers", "logs", "help", "etcd members", "image list"}

// destructiveCommands are the skiff commands that need a confirmation, by their
// first words.
var destructiveCommands = []struct {
	command string
	lost    []string
	word    bool // the command must be typed to confirm
}{
	{"down", []string{"Its machines and disks, with everything on them, are lost."}, true},
	{"stop", []string{"Its machines are shut down with everything that runs on them. Their disks are kept."}, false},
	{"restart", []string{"All pods on that machine are restarted."}, false},
	{"etcd restore", []string{"All objects return to their state in the snapshot.", "Everything created or changed since then is lost."}, true},
	{"etcd defrag", []string{"Each member stops serving requests while it is defragmented."}, false},
}

// skiffCommand runs a skiff command, for ":skiff ARGUMENTS".
func skiffCommand(m *Model, args []string) []screen.Request {
	if len(args) == 0 {
		return screen.Message(":skiff needs a command: " + strings.Join(verbNames(m), ", "))
	}
	text := strings.Join(args, " ") + " "
	begins := func(command string) bool { return strings.HasPrefix(text, command+" ") }
	if m.world.ReadOnly && !slices.ContainsFunc(readOnlyCommands, begins) {
		return screen.Failure("not available in read-only mode: skiff " + args[0])
	}
	run := screen.Run{Operation: machine.Command{Args: args}}
	for _, l := range destructiveCommands {
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
