package boot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

const (
	// sourceInit is the name of PID 1's own log.
	sourceInit = "init"
	// statePath has the state of PID 1 for the API.
	statePath = nodeconfig.Dir + "/init.json"
	// maxProblems bounds the list of a machine that keeps failing.
	maxProblems = 16
)

// journal records what PID 1 does: on the console, in its log, and for the API.
type journal struct {
	mu      sync.Mutex // guards the fields below
	console io.Writer
	path    string        // the state, for the API
	begun   time.Duration // uptime at which the node started, if the kernel is the host's
	log     *os.File      // nil until the node's disk is mounted
	pending *bytes.Buffer // the log until then
	state   nodeapi.Status
}

func newJournal() *journal {
	return &journal{console: os.Stderr, path: statePath, pending: &bytes.Buffer{}}
}

// uptime returns the time since the kernel started, including suspension.
func uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// step records a completed step.
func (j *journal) step(name, detail string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := uptime() - j.begun
	j.state.Boot = append(j.state.Boot, nodeapi.BootStep{Name: name, EndSeconds: at.Seconds()})
	j.line(at, name+" "+detail)
	j.save()
}

// problem records an error that does not stop PID 1.
func (j *journal) problem(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.line(uptime()-j.begun, "problem: "+text)
	if len(j.state.Problems) < maxProblems {
		j.state.Problems = append(j.state.Problems, text)
	}
	j.save()
}

// say records a line.
func (j *journal) say(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.line(uptime()-j.begun, text)
}

// program records the state of a program.
func (j *journal) program(p nodeapi.Program) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slices.IndexFunc(j.state.Programs, func(have nodeapi.Program) bool { return have.Name == p.Name })
	if at < 0 {
		j.state.Programs = append(j.state.Programs, p)
	} else {
		j.state.Programs[at] = p
	}
	if p.PID != 0 {
		j.line(uptime()-j.begun, fmt.Sprintf("%s started, pid %d", p.Name, p.PID))
	}
	j.save()
}

// named sets the node's name.
func (j *journal) named(name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.Node = name
	j.save()
}

// line writes to the console and the log. Nothing can be done about their errors, so
// they are ignored.
func (j *journal) line(at time.Duration, text string) {
	_, _ = fmt.Fprintf(j.console, "skiff-init: %.2fs %s\n", at.Seconds(), text)
	var to io.Writer = j.pending
	if j.log != nil {
		to = j.log
	}
	_, _ = fmt.Fprintf(to, "%s %.2fs %s\n", time.Now().UTC().Format(time.RFC3339Nano), at.Seconds(), text)
}

// persist writes the log to path from now on, beginning with what was logged before.
func (j *journal) persist(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.log = f
	_, err = j.pending.WriteTo(f)
	return err
}

// close closes the log, so that the node's disk can be unmounted.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.log != nil {
		j.log.Close()
		j.log = nil
	}
}

// save writes the state for the API. If it fails, the API reports less.
func (j *journal) save() {
	text, err := json.Marshal(j.state)
	if err != nil {
		return
	}
	_ = atomicfile.Write(j.path, text, 0o600)
}

// readState reads what save wrote.
func readState() (nodeapi.Status, error) {
	var state nodeapi.Status
	text, err := os.ReadFile(statePath)
	if err != nil {
		return state, err
	}
	err = json.Unmarshal(text, &state)
	return state, err
}
