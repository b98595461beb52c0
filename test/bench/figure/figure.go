// Package figure holds the results of benchmarks. All benchmarks print the same
// kind of table and write the same kind of JSON file.
package figure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"text/tabwriter"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// Figure is a measured value. Pointers are nil if there is no value.
type Figure struct {
	Figure string  `json:"figure"`
	Unit   string  `json:"unit"`
	Skiff  float64 `json:"skiff"`
	// Peer is the value of the program that Skiff is compared with, measured on the
	// same machine in the same run.
	Peer *float64 `json:"peer"`
	// Ratio is Skiff divided by Peer.
	Ratio *float64 `json:"ratio"`
	// Goal is the maximum for Skiff; nil if there is none. Met reports whether it is
	// reached.
	Goal *float64 `json:"goal"`
	Met  *bool    `json:"met"`
}

// New returns a figure without a peer. A goal of zero or less means no goal.
func New(name, unit string, skiff, goal float64) Figure {
	f := Figure{Figure: name, Unit: unit, Skiff: skiff}
	if goal > 0 {
		met := skiff <= goal
		f.Goal, f.Met = &goal, &met
	}
	return f
}

// Against returns the figure with a peer's value.
func (f Figure) Against(peer float64) Figure {
	f.Peer = &peer
	if peer != 0 {
		ratio := f.Skiff / peer
		f.Ratio = &ratio
	}
	return f
}

// Main runs a benchmark: it calls measure with a context that an interrupt ends,
// prints the table and writes the JSON file at path. On an error it prints the
// error and exits with 1.
func Main(name, path string, measure func(context.Context) ([]Figure, error)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	figures, err := measure(ctx)
	stop()
	if err == nil {
		err = errors.Join(Print(os.Stdout, figures), Write(path, figures))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench %s: %v\n", name, err)
		os.Exit(1)
	}
}

// Print writes figures as a table.
func Print(out io.Writer, figures []Figure) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FIGURE\tUNIT\tSKIFF\tPEER\tRATIO\tGOAL\tMET")
	for _, f := range figures {
		met := "-"
		if f.Met != nil {
			met = map[bool]string{true: "yes", false: "no"}[*f.Met]
		}
		fmt.Fprintf(w, "%s\t%s\t%.4g\t%s\t%s\t%s\t%s\n", f.Figure, f.Unit, f.Skiff, number(f.Peer), number(f.Ratio), number(f.Goal), met)
	}
	return w.Flush()
}

func number(value *float64) string {
	if value == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *value)
}

// Write writes the figures to the file at path, as a JSON list.
func Write(path string, figures []Figure) error {
	data, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	if err := atomicfile.Write(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}
