// Package progress shows the progress of an operation on a cluster: one line per
// node with the duration of each phase. A frame is a pure function of the events
// and the time.
package progress

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Board accumulates events.
type Board struct{ rows []*row }

// row is a node, or the cluster itself.
type row struct {
	name   string
	phases []phase
}

type phase struct {
	name    daemonapi.Phase
	state   daemonapi.State
	started time.Time
	seconds float64
	message string
}

// Event adds an event.
func (b *Board) Event(e daemonapi.Event) {
	if e.Phase == "" {
		return
	}
	p := b.row(e.Node).phase(e.Phase, e.Time)
	if e.State == daemonapi.StateRunning && p.state != daemonapi.StateRunning {
		p.started = e.Time // a retry
	}
	p.state, p.message = e.State, e.Message
	if e.State != daemonapi.StateRunning {
		p.seconds = e.Seconds
	}
	if e.Failure != nil {
		p.message = e.Failure.Cause
	}
}

func (b *Board) row(name string) *row {
	for _, r := range b.rows {
		if r.name == name {
			return r
		}
	}
	r := &row{name: name}
	if name == "" { // the cluster comes first
		b.rows = append([]*row{r}, b.rows...)
	} else {
		b.rows = append(b.rows, r)
	}
	return r
}

func (r *row) phase(name daemonapi.Phase, now time.Time) *phase {
	for i := range r.phases {
		if r.phases[i].name == name {
			return &r.phases[i]
		}
	}
	r.phases = append(r.phases, phase{name: name, started: now})
	return &r.phases[len(r.phases)-1]
}

// state returns failed if any phase has failed, else running if any is running,
// else done.
func (r *row) state() daemonapi.State {
	state := daemonapi.StateDone
	for _, p := range r.phases {
		switch p.state {
		case daemonapi.StateFailed:
			return daemonapi.StateFailed
		case daemonapi.StateRunning:
			state = daemonapi.StateRunning
		}
	}
	return state
}

var spinner = [...]string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// Frame draws one line per row, at most width cells wide. tick advances the
// spinner.
func (b *Board) Frame(now time.Time, tick, width int) string {
	longest := len("cluster")
	for _, r := range b.rows {
		longest = max(longest, len(r.name))
	}
	var out strings.Builder
	for _, r := range b.rows {
		name := r.name
		if name == "" {
			name = "cluster"
		}
		line := fmt.Sprintf("%s %-*s  %s", r.mark(tick), longest, name, r.trail(now))
		out.WriteString(ansi.Truncate(line, width, "…"))
		out.WriteByte('\n')
	}
	return out.String()
}

func (r *row) mark(tick int) string {
	switch r.state() {
	case daemonapi.StateFailed:
		return bad().Render("✗")
	case daemonapi.StateRunning:
		return busy().Render(spinner[tick%len(spinner)])
	default:
		return good().Render("✓")
	}
}

// trail returns the phases: "boot 3.1s  join 2.0s  ready 0.4s node is not registered".
func (r *row) trail(now time.Time) string {
	var parts []string
	for _, p := range r.phases {
		switch p.state {
		case daemonapi.StateDone:
			parts = append(parts, fmt.Sprintf("%s %s", p.name, dim().Render(seconds(p.seconds))))
		case daemonapi.StateFailed:
			parts = append(parts, bad().Render(fmt.Sprintf("%s failed: %s", p.name, p.message)))
		default:
			part := fmt.Sprintf("%s %s", busy().Render(string(p.name)), seconds(now.Sub(p.started).Seconds()))
			if p.message != "" {
				part += " " + dim().Render(p.message)
			}
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "  ")
}

func seconds(s float64) string { return fmt.Sprintf("%.1fs", max(0, s)) }

func good() lipgloss.Style { return lipgloss.NewStyle().Foreground(lipgloss.Green) }
func bad() lipgloss.Style  { return lipgloss.NewStyle().Foreground(lipgloss.Red) }
func busy() lipgloss.Style { return lipgloss.NewStyle().Foreground(lipgloss.Cyan) }
func dim() lipgloss.Style  { return lipgloss.NewStyle().Faint(true) }

// Line returns an event as a line of text with the time since start, or "" for
// an event that has no phase.
func Line(e daemonapi.Event, start time.Time) string {
	if e.Phase == "" {
		return ""
	}
	name := e.Node
	if name == "" {
		name = "cluster"
	}
	text := e.Message
	switch e.State {
	case daemonapi.StateDone:
		text = strings.TrimSpace("done in " + seconds(e.Seconds) + "  " + e.Message)
	case daemonapi.StateFailed:
		if e.Failure != nil {
			text = e.Failure.Cause
		}
		text = "failed: " + text
	default:
		if text == "" {
			text = "…"
		}
	}
	return fmt.Sprintf("%7s  %-16s %-13s %s", seconds(e.Time.Sub(start).Seconds()), name, e.Phase, text)
}
