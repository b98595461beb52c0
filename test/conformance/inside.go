package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
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
	if c.driver != sandbox {
		return i, fmt.Errorf("suite %s connects to addresses of the nodes' network, which this program can enter only with -driver %s", c.suite.name, sandbox)
	}
	daemon := home.Home(c.home).Cluster(clusterName).Holder()
	if i.namespace, err = otherNamespace(fmt.Sprintf("/proc/%d/task", daemon)); err != nil {
		return i, fmt.Errorf("find the nodes' network: %w", err)
	}
	said, err := exec.CommandContext(ctx, c.kubectl, "--kubeconfig", c.kubeconfig, "get", "node", "control-plane-1",
		"--output", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`).Output()
	if err != nil {
		return i, fmt.Errorf("find the address of the API server: %w", err)
	}
	config, err := os.ReadFile(c.kubeconfig)
	if err != nil {
		return i, err
	}
	i.kubeconfig = c.kubeconfig + "-inside"
	return i, os.WriteFile(i.kubeconfig, redirect(config, string(said)), 0o600)
}

var server = regexp.MustCompile(`server: \S+`)

// redirect changes the server of a kubeconfig.
func redirect(config []byte, address string) []byte {
	return server.ReplaceAllLiteral(config, []byte("server: https://"+net.JoinHostPort(address, strconv.Itoa(nodeconfig.PortKubernetes))))
}

// otherNamespace returns the network namespace of a thread in tasks that is in
// another one than this program.
func otherNamespace(tasks string) (string, error) {
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", err
	}
	namespaces, err := filepath.Glob(filepath.Join(tasks, "*", "ns", "net"))
	if err != nil {
		return "", err
	}
	for _, path := range namespaces {
		if theirs, err := os.Readlink(path); err == nil && theirs != ours {
			return path, nil
		}
	}
	return "", errors.New("the daemon has no thread in it")
}
