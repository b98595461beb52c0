// Package gctune sizes a program's garbage collection to the machine: it uses
// CPU time where there is little memory, and memory where there is enough.
package gctune

import (
	"os"
	"runtime/debug"
)

const mebibyte = 1 << 20

// Limits are the Go runtime's.
type Limits struct {
	// Percent is GOGC: how much the heap may grow between two collections.
	Percent int
	// Bytes is GOMEMLIMIT, the soft limit near which the collector runs more often.
	Bytes int64
}

// Step is a range of machines and their GOGC.
type Step struct {
	BelowBytes int64
	Percent    int
}

// Profile describes how a program's limits follow the machine's memory.
type Profile struct {
	// Steps are in order of size; a larger machine than the last gets 100 percent.
	Steps []Step
	// Share is the program's part of the machine's memory, between 0 and 1.
	Share float64
	// MinBytes is what the program needs at least. A limit below the live heap
	// would only waste CPU time.
	MinBytes int64
}

// Limits returns the limits for a machine with totalBytes of memory.
func (p Profile) Limits(totalBytes int64) Limits {
	limits := Limits{Percent: 100, Bytes: max(int64(float64(totalBytes)*p.Share), p.MinBytes)}
	for _, step := range p.Steps {
		if totalBytes < step.BelowBytes {
			limits.Percent = step.Percent
			break
		}
	}
	return limits
}

// Apply sets the limits. A limit that the user set in the environment, as GOGC
// or GOMEMLIMIT, takes precedence.
func (l Limits) Apply() {
	l.setMemory()
	l.SetPercent()
}

// Delay sets the memory limit and stops collections below it until SetPercent
// is called. Most of what a starting program allocates stays in use, so
// collections would only slow the start down.
func (l Limits) Delay() {
	l.setMemory()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(-1)
	}
}

// SetPercent sets the growth between two collections.
func (l Limits) SetPercent() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(l.Percent)
	}
}

func (l Limits) setMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(l.Bytes)
	}
}

// ControlPlane is the profile of a control plane, which shares its machine with
// a node agent and pods.
func ControlPlane() Profile {
	return Profile{
		Steps: []Step{
			{BelowBytes: 1536 * mebibyte, Percent: 40},
			{BelowBytes: 3072 * mebibyte, Percent: 60},
			{BelowBytes: 6144 * mebibyte, Percent: 80},
		},
		Share: 0.4, MinBytes: 256 * mebibyte,
	}
}

// NodeAgent is the profile of a node agent. Its heap is about 40 MB, of which
// little changes.
func NodeAgent() Profile {
	return Profile{
		Steps: []Step{
			{BelowBytes: 1024*mebibyte + 1, Percent: 40},
			{BelowBytes: 4096*mebibyte + 1, Percent: 75},
		},
		Share: 1.0 / 6, MinBytes: 96 * mebibyte,
	}
}
