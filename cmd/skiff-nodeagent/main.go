// Command skiff-nodeagent makes a booted machine a Kubernetes node: kubelet,
// service proxy, pod network, network policies, cluster DNS and local volumes.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/skiff-dev/skiff/internal/idle"
	"github.com/skiff-dev/skiff/nodeagent/agent"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "skiff-nodeagent:", err)
		klog.Flush()
		os.Exit(1)
	}
	klog.Flush()
}

func run() error {
	flags := flag.NewFlagSet("skiff-nodeagent", flag.ExitOnError)
	klog.InitFlags(flags)
	nodeConfig := flags.String("node-config", nodeconfig.Path, "the node document")
	var config agent.Config
	flags.StringVar(&config.PKIDir, "pki-dir", nodeconfig.PKIDir, "certificates and keys of the node document")
	flags.StringVar(&config.RunDir, "run-dir", nodeconfig.Dir+"/agent", "files that the agent writes anew at each start")
	flags.StringVar(&config.StateDir, "state-dir", nodeconfig.StateDir, "what the node keeps over a restart")
	flags.StringVar(&config.AlarmsDir, "alarms-dir", nodeconfig.AlarmsDir, "what the agent wants the user to know, a file")
	flags.StringVar(&config.KubeletDir, "kubelet-dir", nodeconfig.KubeletDir, "the kubelet's own folder")
	flags.StringVar(&config.CNIDir, "cni-dir", "/etc/cni/net.d", "where the container runtime looks for its network")
	flags.StringVar(&config.ContainerdSocket, "containerd-socket", nodeconfig.ContainerdSocket, "where containerd serves CRI")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	slog.SetDefault(slog.New(logr.ToSlogHandler(klog.Background())))

	var err error
	if config.Node, err = nodeconfig.Read(*nodeConfig); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	program := idle.New()
	config.Wake = program.Wake
	go program.Keep(ctx, slog.Default())
	return agent.Run(ctx, config)
}
