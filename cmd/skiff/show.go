package main

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

// show prints the events of work: as JSON, one object a line; live on a
// terminal; as plain lines elsewhere.
func (a *app) show(ctx context.Context, asJSON bool, work func(context.Context, func(daemonapi.Event)) error) error {
	if asJSON {
		encoder := json.NewEncoder(a.stdout)
		return work(ctx, func(e daemonapi.Event) { _ = encoder.Encode(e) })
	}
	if isTerminal(a.stdin) && isTerminal(a.stdout) && os.Getenv("TERM") != "dumb" {
		return progress.Run(ctx, a.stdin, a.stdout, work)
	}
	start := time.Now()
	return work(ctx, func(e daemonapi.Event) {
		if line := progress.Line(e, start); line != "" {
			fmt.Fprintln(a.stdout, line)
		}
	})
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

func (a *app) printJSON(value any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// table writes rows in columns, the first row being their titles.
func table(out io.Writer, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// bytesText is a size for people, in the units of Kubernetes.
func bytesText(n int64) string {
	const unit = 1024
	switch {
	case n >= unit*unit*unit:
		return fmt.Sprintf("%.1fGi", float64(n)/(unit*unit*unit))
	case n >= unit*unit:
		return fmt.Sprintf("%dMi", n/(unit*unit))
	default:
		return fmt.Sprintf("%dKi", (n+unit-1)/unit)
	}
}

// age is a duration for people, as kubectl shows it.
func age(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
