// Package cli holds what all commands share: streams, errors and exit codes,
// arguments, flags, and output formats.
package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/skiff-dev/skiff/tui/progress"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Streams are a command's input and outputs.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Report prints err on standard error and returns the exit code.
func (s Streams) Report(err error) int { return Report(s.Err, err) }

// Interactive reports whether the user can see and answer a full-screen program.
func (s Streams) Interactive() bool {
	return IsTerminal(s.In) && IsTerminal(s.Out) && os.Getenv("TERM") != "dumb"
}

// Show runs work and prints its events: as JSON, one object per line; as a live
// display on a terminal; otherwise as plain lines.
func (s Streams) Show(ctx context.Context, asJSON bool, work func(context.Context, func(daemonapi.Event)) error) error {
	if asJSON {
		encoder := json.NewEncoder(s.Out)
		return work(ctx, func(e daemonapi.Event) { _ = encoder.Encode(e) })
	}
	if s.Interactive() {
		return progress.Run(ctx, s.In, s.Out, func(ctx context.Context, event func(daemonapi.Event)) error {
			return work(ctx, func(e daemonapi.Event) {
				e.Message = Clean(e.Message)
				event(e)
			})
		})
	}
	start, out := time.Now(), s.Text()
	begun := map[[2]string]bool{} // by node and phase
	return work(ctx, func(e daemonapi.Event) {
		// A phase may have several steps; those without news are not worth a line.
		place := [2]string{e.Node, string(e.Phase)}
		repeated := begun[place] && e.State == daemonapi.StateRunning && e.Message == ""
		begun[place] = e.State == daemonapi.StateRunning
		if line := progress.Line(e, start); line != "" && !repeated {
			fmt.Fprintln(out, line)
		}
	})
}

// JSON prints value as indented JSON.
func (s Streams) JSON(value any) error {
	encoder := json.NewEncoder(s.Text())
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// Table prints rows in aligned columns. The first row holds the titles.
func (s Streams) Table(rows [][]string) error {
	w := tabwriter.NewWriter(s.Text(), 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// IsTerminal reports whether stream is a terminal.
func IsTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
