// Command skiff-nodeagent turns a booted machine into a Kubernetes node: it runs the
// kubelet, service proxy, pod network, network policies, cluster DNS and local volumes.
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
	nodeConfig := flags.String("node-config", nodeconfig.Path, "path of the node document")
	var config agent.Config
	flags.StringVar(&config.PKIDir, "pki-dir", nodeconfig.PKIDir, "directory of the node document's certificates and keys")
	flags.StringVar(&config.RunDir, "run-dir", nodeconfig.Dir+"/agent", "directory of files that the agent writes at each start")
	flags.StringVar(&config.StateDir, "state-dir", nodeconfig.StateDir, "directory that survives a restart")
	flags.StringVar(&config.AlarmsDir, "alarms-dir", nodeconfig.AlarmsDir, "directory of messages to the user")
	flags.StringVar(&config.KubeletDir, "kubelet-dir", nodeconfig.KubeletDir, "root directory of the kubelet")
	flags.StringVar(&config.CNIDir, "cni-dir", "/etc/cni/net.d", "directory of the container runtime's network configuration")
	flags.StringVar(&config.ContainerdSocket, "containerd-socket", nodeconfig.ContainerdSocket, "path of containerd's CRI socket")
	check := flags.String("check", "", "check the components' settings in this `file`, and exit")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	slog.SetDefault(slog.New(logr.ToSlogHandler(klog.Background())))

	var err error
	if config.Node, err = nodeconfig.Read(*nodeConfig); err != nil {
		return err
	}
	settings := filepath.Join(config.PKIDir, nodeconfig.ComponentsFile)
	if *check != "" {
		settings = *check
	}
	if config.Components, err = nodeconfig.ReadComponents(settings); err != nil {
		return err
	}
	if *check != "" {
		if config.RunDir, err = os.MkdirTemp(filepath.Dir(config.RunDir), "check-"); err != nil {
			return err
		}
		defer os.RemoveAll(config.RunDir)
		return agent.Check(config)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	program := idle.New()
	config.Wake = program.Wake
	go program.Keep(ctx, slog.Default())
	return agent.Run(ctx, config)
}
