package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// interval between frames. A faster spinner would take CPU time from the machines.
const interval = 200 * time.Millisecond

// Run shows the events of work on the terminal out until work returns, and
// returns its error. Ctrl-C on the terminal in cancels work's context. The last
// frame stays on the screen.
func Run(ctx context.Context, in io.Reader, out io.Writer, work func(context.Context, func(daemonapi.Event)) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	program := tea.NewProgram(newModel(cancel), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler())
	done := make(chan error, 1)
	go func() {
		done <- work(ctx, func(e daemonapi.Event) { program.Send(eventMsg(e)) })
		program.Send(finishedMsg{})
	}()
	_, err := program.Run()
	if err != nil {
		cancel()
		err = fmt.Errorf("show progress: %w", err)
	}
	return errors.Join(<-done, err)
}

type (
	eventMsg    daemonapi.Event
	tickMsg     time.Time
	finishedMsg struct{}
)

type model struct {
	board     *Board
	now       time.Time
	tick      int
	width     int
	interrupt func()
}

func newModel(interrupt func()) model {
	return model{board: &Board{}, width: 80, interrupt: interrupt}
}

// Init implements tea.Model.
func (m model) Init() tea.Cmd { return next() }

func next() tea.Cmd { return tea.Tick(interval, func(t time.Time) tea.Msg { return tickMsg(t) }) }

// Update implements tea.Model.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width = msg.Width
	case eventMsg:
		m.board.Event(daemonapi.Event(msg))
		if msg.Time.After(m.now) {
			m.now = msg.Time
		}
	case tickMsg:
		m.now, m.tick = time.Time(msg), m.tick+1
		return m, next()
	case tea.KeyPressMsg:
		if msg.String() == "ctrl+c" {
			return m, func() tea.Msg { m.interrupt(); return nil }
		}
	case finishedMsg:
		return m, tea.Quit
	}
	return m, nil
}

// View implements tea.Model.
func (m model) View() tea.View { return tea.NewView(m.board.Frame(m.now, m.tick, m.width)) }
