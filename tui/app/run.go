package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
)

// closeLimit is how long Close waits for feeds and tasks.
const closeLimit = 3 * time.Second

// Run runs the dashboard on the terminal until the user quits or ctx ends.
func Run(ctx context.Context, config Config, in io.Reader, out io.Writer) error {
	m := New(ctx, config)
	defer m.Close()
	program := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithFPS(30))
	_, err := program.Run()
	switch {
	case err == nil, errors.Is(err, tea.ErrInterrupted), errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("run the dashboard: %w", err)
}

// Close ends all feeds and tasks and waits for them for a limited time.
func (m *Model) Close() {
	m.stop()
	ended := make(chan struct{})
	go func() {
		m.jobs.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closeLimit):
	}
}
