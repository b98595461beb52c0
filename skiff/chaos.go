package skiff

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// FaultKind is a kind of Fault.
type FaultKind string

// The kinds of faults.
const (
	FaultKill      FaultKind = "kill"      // the machines lose power, and are started again at the end
	FaultPause     FaultKind = "pause"     // the machines hang
	FaultPartition FaultKind = "partition" // the nodes reach only each other
	FaultLatency   FaultKind = "latency"   // every round trip takes Delay longer
	FaultLoss      FaultKind = "loss"      // Percent of the packets are lost
	FaultBandwidth FaultKind = "bandwidth" // sending and receiving are limited to Rate
	FaultClock     FaultKind = "clock"     // the clocks are ahead by Offset; not with sandboxes
	FaultDiskFull  FaultKind = "disk-full" // the disks are full; not with sandboxes
	FaultZone      FaultKind = "zone"      // the nodes of zones reach only each other, or are killed
)

// Fault is something that breaks on purpose, for a while.
type Fault struct {
	Kind FaultKind
	// Targets are names of nodes, or of zones for FaultZone.
	Targets []string
	// For is how long the fault lasts; 30 seconds if it is 0. Then it ends by itself, even if
	// this process has ended.
	For time.Duration

	Delay   time.Duration
	Percent float64
	Rate    string // such as 10mbit
	Offset  time.Duration
	Kill    bool // kills the machines of zones
}

// args returns the arguments of `skiff chaos`. Parameters that are zero keep the program's
// defaults.
func (f Fault) args(cluster string) []string {
	args := []string{"chaos", string(f.Kind), "--cluster=" + cluster, "--output=json"}
	add := func(flag string, given bool, value string) {
		if given {
			args = append(args, "--"+flag+"="+value)
		}
	}
	add("for", f.For != 0, f.For.String())
	add("delay", f.Delay != 0, f.Delay.String())
	add("percent", f.Percent != 0, strconv.FormatFloat(f.Percent, 'f', -1, 64))
	add("rate", f.Rate != "", f.Rate)
	add("offset", f.Offset != 0, f.Offset.String())
	add("kill", f.Kill, "true")
	return append(append(args, "--"), f.Targets...)
}

// Inject begins a fault and returns its ID.
func (c *Cluster) Inject(ctx context.Context, f Fault) (id string, err error) {
	content, err := c.program.output(ctx, f.args(c.Name)...)
	if err != nil {
		return "", err
	}
	var begun struct{ ID string }
	if err := json.Unmarshal(content, &begun); err != nil || begun.ID == "" {
		return "", fmt.Errorf("read the fault of %s: %q, %w", c.Name, content, err)
	}
	return begun.ID, nil
}

// ClearFaults ends faults before their time, all if none are given.
func (c *Cluster) ClearFaults(ctx context.Context, ids ...string) error {
	return c.program.run(ctx, invocation{args: append([]string{"chaos", "clear", "--cluster=" + c.Name, "--"}, ids...)})
}
