package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/internal/pause"
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
	skiffProgram, kubectlProgram string
	dir                          string
	daemon                       int // process ID
}

func (c *cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, program, args...)
	command.Env = append(os.Environ(), "SKIFF_HOME="+filepath.Join(c.dir, "h"), "KUBECONFIG="+filepath.Join(c.dir, "kubeconfig"), "SKIFF_DRIVER=sandbox")
	command.Stderr = os.Stderr
	return command
}

func (c *cluster) skiff(ctx context.Context, args ...string) ([]byte, error) {
	said, err := c.command(ctx, c.skiffProgram, args...).Output()
	if err != nil {
		err = fmt.Errorf("skiff %v: %w", args, err)
	}
	return said, err
}

// up starts the cluster with a pod that is ready.
func (c *cluster) up(ctx context.Context) error {
	archive := filepath.Join(c.dir, "image.tar")
	if err := writeImage(archive); err != nil {
		return err
	}
	for _, args := range [][]string{{"up", clusterName}, {"image", "load", "--cluster", clusterName, archive}} {
		if _, err := c.skiff(ctx, args...); err != nil {
			return err
		}
	}
	apply := c.command(ctx, c.kubectlProgram, "apply", "-f", "-")
	apply.Stdin = strings.NewReader(manifest)
	if err := apply.Run(); err != nil {
		return fmt.Errorf("kubectl apply: %w", err)
	}
	if err := c.command(ctx, c.kubectlProgram, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s").Run(); err != nil {
		return fmt.Errorf("wait for the pod: %w", err)
	}
	said, err := c.skiff(ctx, "status", clusterName, "-o", "json")
	if err != nil {
		return err
	}
	var status daemonapi.ClusterStatus
	err = json.Unmarshal(said, &status)
	c.daemon = status.DaemonPID
	return err
}

func (c *cluster) down(ctx context.Context) error {
	_, err := c.skiff(ctx, "down", clusterName)
	_, stopErr := c.skiff(ctx, "registry", "stop")
	return errors.Join(err, stopErr)
}

// writeImage writes an archive of an image with this program.
func writeImage(path string) (err error) {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(own)
	if err != nil {
		return err
	}
	layer, err := oci.Layer([]oci.File{{Path: "program", Mode: 0o755, Data: program}})
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return oci.Write(file, oci.Image{
		Name: imageName, Arch: runtime.GOARCH, Layers: [][]byte{layer},
		Config: v1.ImageConfig{Cmd: []string{"/program", serving}},
	})
}

// paths returns the ways to the Service, the direct one first, and a function that
// closes them.
func (c *cluster) paths(ctx context.Context) ([]path, func(), error) {
	balanced, named, nodePort, err := c.addresses(ctx)
	if err != nil {
		return nil, nil, err
	}
	node, err := c.command(ctx, c.kubectlProgram, "get", "node", "worker-1", "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`).Output()
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
		said, err := c.skiff(ctx, "services", clusterName, "-o", "json")
		if err != nil {
			return "", nil, 0, err
		}
		var all daemonapi.Services
		if err := json.Unmarshal(said, &all); err != nil {
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
	command := c.command(ctx, c.kubectlProgram, "port-forward", "service/web", ":"+strconv.Itoa(port))
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
	return "", nil, errors.New("kubectl port-forward did not say where it listens")
}
