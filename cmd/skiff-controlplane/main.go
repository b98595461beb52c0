// Command skiff-controlplane is a Kubernetes control plane in one process:
// etcd, API server, controllers and scheduler.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/component-base/version"
	"k8s.io/klog/v2"

	"github.com/skiff-dev/skiff/controlplane/server"
	"github.com/skiff-dev/skiff/internal/gctune"
	"github.com/skiff-dev/skiff/internal/idle"
	"github.com/skiff-dev/skiff/internal/meminfo"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "skiff-controlplane:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	flags := flag.NewFlagSet("skiff-controlplane", flag.ContinueOnError)
	var s server.Settings
	nodeDocument := flags.String("node-config", nodeconfig.Path, "the node document")
	flags.StringVar(&s.PKIDir, "pki-dir", nodeconfig.PKIDir, "directory of certificates and keys")
	flags.StringVar(&s.StateDir, "state-dir", nodeconfig.StateDir, "directory of what survives restarts")
	flags.StringVar(&s.LogDir, "log-dir", nodeconfig.LogDir, "directory of the audit log")
	flags.IntVar(&s.Port, "port", nodeconfig.PortKubernetes, "port of the Kubernetes API")
	flags.IntVar(&s.EtcdClientPort, "etcd-client-port", nodeconfig.PortEtcdClient, "port on which etcd serves other members' control planes")
	flags.IntVar(&s.EtcdPeerPort, "etcd-peer-port", nodeconfig.PortEtcdPeer, "port on which etcd serves other members")
	verbosity := flags.String("v", "0", "verbosity of Kubernetes' own log")
	check := flags.String("check", "", "check the components' settings in this `file`, and exit")
	showVersion := flags.Bool("version", false, "print the version of Kubernetes and exit")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *showVersion {
		fmt.Println("Kubernetes", version.Get().GitVersion)
		return nil
	}
	kubernetesLog := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(kubernetesLog)
	if err := kubernetesLog.Set("v", *verbosity); err != nil {
		return fmt.Errorf("set verbosity: %w", err)
	}
	defer klog.Flush()

	var err error
	if s.Node, err = nodeconfig.Read(*nodeDocument); err != nil {
		return err
	}
	if s.Node.Role != nodeconfig.RoleControlPlane {
		return fmt.Errorf("%s: role is %q, not %q", *nodeDocument, s.Node.Role, nodeconfig.RoleControlPlane)
	}
	s.PrivateDir = filepath.Dir(*nodeDocument)
	if *check != "" {
		if s.Components, err = nodeconfig.ReadComponents(*check); err != nil {
			return err
		}
		return server.Check(context.Background(), s)
	}
	if s.Components, err = nodeconfig.ReadComponents(filepath.Join(s.PKIDir, nodeconfig.ComponentsFile)); err != nil {
		return err
	}
	memory, err := meminfo.Read()
	if err != nil {
		return err
	}
	limits := gctune.ControlPlane().Limits(memory.TotalBytes)
	limits.Delay()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s.Built = limits.SetPercent
	go idle.New().Keep(ctx, log)
	return server.Run(ctx, s, log)
}
