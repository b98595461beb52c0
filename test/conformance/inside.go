package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/test/netns"
	"github.com/skiff-dev/skiff/vm/home"
)

// inside is the network of sandboxes, for tests that connect to addresses there. It
// is a network namespace of the daemon, which has the routes to load balancers.
type inside struct {
	namespace  string // path, "" to stay outside
	kubeconfig string // leads to the API server without the host's load balancer
}

// prefix returns the beginning of a command that runs in the network.
func (i inside) prefix() []string {
	if i.namespace == "" {
		return nil
	}
	// The processes of ginkgo talk over loopback, which is down there.
	return []string{"nsenter", "--net=" + i.namespace, "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}
}

// enter finds the network and writes a kubeconfig for it.
func (c *cluster) enter(ctx context.Context) (i inside, err error) {
	daemon := home.Home(c.home).Cluster(clusterName).Holder()
	if i.namespace, err = netns.Nodes(daemon); err != nil {
		return i, err
	}
	i.kubeconfig = c.kubeconfig + "-inside"
	return i, c.writeInside(ctx, i.kubeconfig)
}

// writeInside writes a kubeconfig for programs in the nodes' network.
func (c *cluster) writeInside(ctx context.Context, path string) error {
	address, err := exec.CommandContext(ctx, c.kubectl, "--kubeconfig", c.kubeconfig, "get", "node", "control-plane-1",
		"--output", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`).Output()
	if err != nil {
		return fmt.Errorf("find the address of the API server: %w", err)
	}
	config, err := os.ReadFile(c.kubeconfig)
	if err != nil {
		return err
	}
	return os.WriteFile(path, redirect(config, string(address)), 0o600)
}

var server = regexp.MustCompile(`server: \S+`)

// redirect changes the server of a kubeconfig.
func redirect(config []byte, address string) []byte {
	return server.ReplaceAllLiteral(config, []byte("server: https://"+net.JoinHostPort(address, strconv.Itoa(nodeconfig.PortKubernetes))))
}
