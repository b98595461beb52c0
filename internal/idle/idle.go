// Package idle keeps an idle program cheap: its timers wake the CPU together, and
// memory that only its start needed goes back to the machine.
package idle

import (
	"context"
	"log/slog"

	"github.com/skiff-dev/skiff/internal/wakeup"
)

// Program is the process that it runs in. New returns one.
type Program struct {
	wake wakeup.Signal
}

// New returns a Program that does nothing until Keep is called.
func New() *Program { return &Program{wake: wakeup.New()} }

// Keep waits until the program has started and then keeps it cheap while it is
// idle, until ctx ends.
func (p *Program) Keep(ctx context.Context, log *slog.Logger) {
	if awaitStart(ctx) != nil {
		return
	}
	go coalesceTimers(ctx, log, p.wake, setSlack, cpuTime)
	keepSmall(ctx, log, unmapProgram)
}

// Wake makes timers fire on time until the program has been idle for a few
// seconds. Call it before work that somebody waits for. It returns at once.
func (p *Program) Wake() {
	p.wake.Send()
}
