package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/test/bench/cli"
	"github.com/skiff-dev/skiff/test/bench/podimage"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

const (
	clusterName = "bench"
	imageName   = "skiff.test/edge:1"
	// port is the Service's, which is free on most hosts.
	port = 18080
)

// manifest is one pod, so that all paths end at the same, and its Service.
const manifest = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeName: worker-1
  terminationGracePeriodSeconds: 0
  containers: [{name: web, image: "skiff.test/edge:1", imagePullPolicy: Never}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 18080, targetPort: 8080, appProtocol: http}]
`

// cluster is the measured cluster.
type cluster struct {
	skiff          cli.Skiff
	kubectlProgram string
	daemon         int // process ID
}

func (c *cluster) kubectl(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, c.kubectlProgram, args...)
	command.Env, command.Stderr = c.skiff.Env, os.Stderr
	return command
}

// up starts the cluster with a pod that is ready.
func (c *cluster) up(ctx context.Context) error {
	archive := filepath.Join(c.skiff.Dir, "image.tar")
	layer, err := podimage.Layer()
	if err != nil {
		return err
	}
	if err := podimage.Write(archive, imageName, layer, podimage.Program, serving); err != nil {
		return err
	}
	for _, args := range [][]string{{"up", clusterName}, {"image", "load", "--cluster", clusterName, archive}} {
		if _, err := c.skiff.Run(ctx, args...); err != nil {
			return err
		}
	}
	apply := c.kubectl(ctx, "apply", "-f", "-")
	apply.Stdin = strings.NewReader(manifest)
	if err := apply.Run(); err != nil {
		return fmt.Errorf("kubectl apply: %w", err)
	}
	if err := c.kubectl(ctx, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s").Run(); err != nil {
		return fmt.Errorf("wait for the pod: %w", err)
	}
	var status daemonapi.ClusterStatus
	err = c.skiff.Query(ctx, &status, "status", clusterName)
	c.daemon = status.DaemonPID
	return err
}

// paths returns the ways to the Service, the direct one first, and a function that
// closes them.
func (c *cluster) paths(ctx context.Context) ([]path, func(), error) {
	balanced, named, nodePort, err := c.addresses(ctx)
	if err != nil {
		return nil, nil, err
	}
	node, err := c.kubectl(ctx, "get", "node", "worker-1", "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`).Output()
	if err != nil {
		return nil, nil, fmt.Errorf("find the node's address: %w", err)
	}
	inside, err := enter(c.daemon)
	if err != nil {
		return nil, nil, err
	}
	forwarded, stop, err := c.forward(ctx)
	if err != nil {
		return nil, nil, err
	}
	entry := "127.0.0.1:" + named.Port()
	if named.Port() == "" {
		entry = "127.0.0.1:80"
	}
	return []path{
		{name: "direct", url: "http://" + net.JoinHostPort(string(node), strconv.Itoa(nodePort)), client: client(inside.dial)},
		{name: "load balancer", url: "http://" + balanced, client: client(nil), goal: true},
		{name: "by name", url: strings.TrimSuffix(named.String(), "/"), client: client(to(entry))},
		{name: "kubectl port-forward", url: "http://" + forwarded, client: client(nil)},
	}, stop, nil
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func to(address string) dialer {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}

func client(dial dialer) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: parallel}}
}

// addresses returns where the host answers for the Service, and its NodePort.
func (c *cluster) addresses(ctx context.Context) (balanced string, named *url.URL, nodePort int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		var all daemonapi.Services
		if err := c.skiff.Query(ctx, &all, "services", clusterName); err != nil {
			return "", nil, 0, err
		}
		for _, s := range all.Services {
			if s.Name == "web" && len(s.Ports) == 1 && len(s.Ports[0].Host) > 0 {
				named, err := url.Parse(strings.Replace(all.Web, "SERVICE.NAMESPACE", "web.default", 1))
				return s.Ports[0].Host[0], named, s.Ports[0].NodePort, err
			}
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return "", nil, 0, fmt.Errorf("the host does not answer for the Service: %w", err)
		}
	}
}

// forward runs kubectl port-forward and returns where it listens.
func (c *cluster) forward(ctx context.Context) (address string, stop func(), err error) {
	command := c.kubectl(ctx, "port-forward", "service/web", ":"+strconv.Itoa(port))
	out, err := command.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := command.Start(); err != nil {
		return "", nil, fmt.Errorf("start kubectl: %w", err)
	}
	stop = func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) >= 3 && fields[0] == "Forwarding" {
			go func() { // kubectl reports every connection
				for lines.Scan() {
				}
			}()
			return fields[2], stop, nil
		}
	}
	stop()
	return "", nil, errors.New("kubectl port-forward did not report where it listens")
}
