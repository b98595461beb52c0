// Package chaos holds the commands that break parts of a cluster on purpose.
package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// New returns the command `chaos`.
func New(s cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Break parts of a cluster on purpose, for a while",
		Long: `Break parts of a cluster on purpose, to see how its workloads behave.

A fault lasts as long as --for says. It then ends by itself, even if this command was
interrupted long before; "skiff chaos clear", "skiff up" and "skiff stop" end it earlier.
Faults may break whatever they are told to, including the majority of control planes.
"skiff shell" and "skiff logs" work on a node whose network is impaired.`,
		Example: `  # Kill a node's machine; it is started again after a minute
  skiff chaos kill worker-1 --for 1m

  # Cut the zone local-b off from the rest
  skiff chaos zone local-b

  # List all faults, and end them
  skiff chaos list
  skiff chaos clear`,
		Args: cobra.ArbitraryArgs,
		RunE: cli.Group,
	}
	for _, kind := range kinds() {
		cmd.AddCommand(newFault(s, kind))
	}
	cmd.AddCommand(newList(s), newClear(s))
	return cmd
}

// kind is a command that begins a fault.
type kind struct {
	name, short, long, example string
	// zones is set if the arguments are zones instead of nodes.
	zones bool
	// flags adds the flags of the kind, and returns a function that completes a request once
	// they are parsed.
	flags func(cmd *cobra.Command) func(*daemonapi.FaultRequest) error
}

// withoutFlags is the field flags of a kind without parameters.
func withoutFlags(fault daemonapi.FaultKind) func(*cobra.Command) func(*daemonapi.FaultRequest) error {
	return func(*cobra.Command) func(*daemonapi.FaultRequest) error {
		return func(r *daemonapi.FaultRequest) error {
			r.Kind = fault
			return nil
		}
	}
}

func kinds() []kind {
	return []kind{
		{
			name: "kill", short: "Kill machines and start them again later",
			long: `Kill the machines of nodes, as a power failure would. Their disks are kept, but data
that was not written yet is lost. The machines are started again when the fault ends.`,
			example: `  # Kill a worker; it is started again after 30 seconds
  skiff chaos kill worker-1`,
			flags: withoutFlags(daemonapi.FaultKill),
		},
		{
			name: "pause", short: "Freeze machines, which then do not answer",
			long: `Freeze the machines of nodes. They keep their memory and do not answer, like a machine
that hangs. When the fault ends they continue, with their clocks set.`,
			example: `  # Freeze a worker for two minutes
  skiff chaos pause worker-1 --for 2m`,
			flags: withoutFlags(daemonapi.FaultPause),
		},
		{
			name: "partition", short: "Cut nodes off from the others",
			long: `Cut the network between the named nodes on one side, and all other nodes, this host and
the outside on the other side. The named nodes still reach each other.`,
			example: `  # Cut off one node
  skiff chaos partition control-plane-2 --for 1m

  # Cut off two nodes that reach each other
  skiff chaos partition worker-1 worker-2`,
			flags: withoutFlags(daemonapi.FaultPartition),
		},
		{
			name: "latency", short: "Delay the packets of nodes",
			long: `Delay packets to nodes, so that every round trip with one of them takes longer. A round
trip between two of them is delayed twice as much.`,
			example: `  # Add 100 ms to every round trip with a worker
  skiff chaos latency worker-1 --delay 100ms`,
			flags: func(cmd *cobra.Command) func(*daemonapi.FaultRequest) error {
				delay := cmd.Flags().Duration("delay", 100*time.Millisecond, "how much longer a round trip takes, at most 10s")
				return func(r *daemonapi.FaultRequest) error {
					r.Kind, r.DelayMilliseconds = daemonapi.FaultLatency, float64(*delay)/float64(time.Millisecond)
					return nil
				}
			},
		},
		{
			name: "loss", short: "Drop packets of nodes",
			long: `Drop some of the packets of nodes at random, in each direction.`,
			example: `  # Drop every tenth packet of a worker
  skiff chaos loss worker-1 --percent 10`,
			flags: func(cmd *cobra.Command) func(*daemonapi.FaultRequest) error {
				percent := cmd.Flags().Float64("percent", 10, "percentage of packets to drop")
				return func(r *daemonapi.FaultRequest) error {
					r.Kind, r.LossPercent = daemonapi.FaultLoss, *percent
					return nil
				}
			},
		},
		{
			name: "bandwidth", short: "Limit the rate of nodes' network",
			long: `Limit how much nodes send and receive, separately in each direction.`,
			example: `  # Give a worker the network of a mobile phone
  skiff chaos bandwidth worker-1 --rate 2mbit`,
			flags: func(cmd *cobra.Command) func(*daemonapi.FaultRequest) error {
				text := cmd.Flags().String("rate", "1mbit", `bits per second, such as "500kbit", "10mbit" or "1gbit"`)
				return func(r *daemonapi.FaultRequest) error {
					rate, err := parseRate(*text)
					r.Kind, r.BitsPerSecond = daemonapi.FaultBandwidth, rate
					return err
				}
			},
		},
		{
			name: "clock", short: "Set the clocks of nodes ahead or behind",
			long: `Set the clocks of nodes ahead or behind. They are corrected when the fault ends. Nodes that
are sandboxes share this host's clock, so this needs virtual machines.`,
			example: `  # Set a worker's clock ten minutes behind
  skiff chaos clock worker-1 --offset -10m`,
			flags: func(cmd *cobra.Command) func(*daemonapi.FaultRequest) error {
				offset := cmd.Flags().Duration("offset", time.Hour, "how far the clock is ahead; negative for behind")
				return func(r *daemonapi.FaultRequest) error {
					r.Kind, r.OffsetSeconds = daemonapi.FaultClock, offset.Seconds()
					return nil
				}
			},
		},
		{
			name: "disk-full", short: "Fill the disks of nodes",
			long: `Fill the disks of nodes and keep them full until the fault ends. The kubelet evicts pods
meanwhile. Nodes that are sandboxes share this host's file system, so this needs virtual
machines, whose disks use no more space on this host.`,
			example: `  # Fill the disk of a worker for a minute
  skiff chaos disk-full worker-1 --for 1m`,
			flags: withoutFlags(daemonapi.FaultDiskFull),
		},
		{
			name: "zone", short: "Cut off or kill all nodes of zones", zones: true,
			long: `Cut all nodes of zones off from the others, or kill their machines with --kill. Nodes
of these zones still reach each other. The setting "zones" is the number of zones over which
nodes are spread.`,
			example: `  # Cut off a zone for five minutes
  skiff chaos zone local-b --for 5m

  # Kill all machines of a zone
  skiff chaos zone local-b --kill`,
			flags: func(cmd *cobra.Command) func(*daemonapi.FaultRequest) error {
				kill := cmd.Flags().Bool("kill", false, "kill the machines instead of cutting them off")
				return func(r *daemonapi.FaultRequest) error {
					r.Kind = daemonapi.FaultPartition
					if *kill {
						r.Kind = daemonapi.FaultKill
					}
					return nil
				}
			},
		},
	}
}

// newFault returns the command of a kind.
func newFault(s cli.Streams, k kind) *cobra.Command {
	cmd := &cobra.Command{
		Use: k.name + " NODE...", Short: k.short, Long: k.long, Example: k.example,
		Args: cli.Arguments(1, -1), ValidArgsFunction: target.CompleteNodes,
	}
	if k.zones {
		cmd.Use, cmd.ValidArgsFunction = k.name+" ZONE...", completeZones
	}
	name := target.Flag(cmd)
	length := cmd.Flags().Duration("for", 30*time.Second, "how long the fault lasts, from 1s to 24h")
	wait := cmd.Flags().Bool("wait", false, "wait until the fault has ended")
	asJSON := cli.Output(cmd)
	complete := k.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		inJSON, err := asJSON()
		if err != nil {
			return err
		}
		request := daemonapi.FaultRequest{Nodes: args, Seconds: length.Seconds()}
		if k.zones {
			request.Nodes, request.Zones = nil, args
		}
		if err := complete(&request); err != nil {
			return err
		}
		c, clusterName, err := target.OpenExisting(*name)
		if err != nil {
			return err
		}
		fault, err := c.Chaos(cmd.Context(), request)
		if err != nil {
			return target.Explain(clusterName, err)
		}
		if err := report(s, inJSON, fault); err != nil || !*wait {
			return err
		}
		return await(cmd.Context(), c, clusterName, fault)
	}
	return cmd
}

// report prints a fault that has begun.
func report(s cli.Streams, inJSON bool, fault daemonapi.Fault) error {
	if inJSON {
		return s.JSON(fault)
	}
	if fault.Warning != "" {
		fmt.Fprintf(s.Err, "Warning: %s\n", fault.Warning)
	}
	_, err := fmt.Fprintln(s.Out, fault.Summary(fault.Began))
	return err
}

// parseRate reads a number of bits per second with a unit.
func parseRate(text string) (int64, error) {
	const most = 1e12
	for _, unit := range []struct {
		name string
		bits float64
	}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}} {
		number, ok := strings.CutSuffix(strings.ToLower(text), unit.name)
		if !ok {
			continue
		}
		if value, err := strconv.ParseFloat(number, 64); err == nil && value*unit.bits >= 1 && value*unit.bits <= most {
			return int64(value * unit.bits), nil
		}
		break
	}
	return 0, cli.Invalid("", "--rate: invalid rate %q: use e.g. 500kbit, 10mbit or 1gbit", text)
}
