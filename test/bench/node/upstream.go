package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// dir is the directory of upstream's programs on their node.
const dir = "/var/bench"

// healthy are the health checks of kubelet and kube-proxy.
var healthy = []string{"http://127.0.0.1:10248/healthz", "http://127.0.0.1:10256/healthz"}

// upstreamLimit bounds how long upstream's programs may take to start.
const upstreamLimit = 2 * time.Minute

// becomeUpstream stops the agent on a node that has joined, and makes the node's
// supervisor run upstream's programs instead, with the node's own identity and network.
func (b *bench) becomeUpstream(ctx context.Context, node string) error {
	text, err := b.cluster.shell(ctx, node, "cat "+nodeconfig.Path)
	if err != nil {
		return err
	}
	document, err := nodeconfig.Parse([]byte(text))
	if err != nil {
		return err
	}
	if _, err := b.cluster.shell(ctx, node, "mkdir -p "+dir+"/manifests "+dir+"/plugins"); err != nil {
		return err
	}
	for _, program := range []string{"kubelet", "kube-proxy"} {
		if err := b.sendProgram(ctx, node, program); err != nil {
			return err
		}
	}
	for name, content := range files(document) {
		if err := b.cluster.send(ctx, node, filepath.Join(dir, name), strings.NewReader(content)); err != nil {
			return err
		}
	}
	// The supervisor starts the program with the agent's name. The table of policies
	// is removed with the agent; routes and masquerading stay, as a network plugin
	// would have created them.
	_, err = b.cluster.shell(ctx, node, "mount --bind "+dir+"/start /usr/bin/skiff-nodeagent\n"+
		"kill $(pidof skiff-nodeagent)\nwhile pidof skiff-nodeagent >/dev/null; do sleep 0.1; done\n"+
		"for table in $(nft list tables | awk '$3 == \"skiff-policy\" {print $2}'); do nft delete table $table skiff-policy; done")
	if err != nil {
		return err
	}
	return b.waitUpstream(ctx, node)
}

func (b *bench) sendProgram(ctx context.Context, node, program string) error {
	file, err := os.Open(filepath.Join(b.peers, program))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return b.cluster.send(ctx, node, filepath.Join(dir, program), file)
}

// waitUpstream returns once upstream's programs are healthy and the node is Ready by
// their reports.
func (b *bench) waitUpstream(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, upstreamLimit)
	defer cancel()
	begun, last := time.Now(), error(nil)
	for {
		if last = b.upstreamReady(ctx, node, begun); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := b.cluster.shell(context.Background(), node, "tail -n 5 "+nodeconfig.LogDir+"/nodeagent.log "+dir+"/kube-proxy.log")
			return fmt.Errorf("%w\n%s", last, log)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (b *bench) upstreamReady(ctx context.Context, node string, since time.Time) error {
	for _, url := range healthy {
		if err := b.cluster.inside(node, func() error { return get(url) }); err != nil {
			return err
		}
	}
	object, err := b.api.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range object.Status.Conditions {
		// Heartbeats have a resolution of a second.
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && condition.LastHeartbeatTime.After(since.Add(-time.Second)) {
			return nil
		}
	}
	return errors.New("the node is not Ready")
}

// get sends a request on a connection that the calling thread opens.
func get(url string) error {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).Dial("tcp", request.URL.Host)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := errors.Join(conn.SetDeadline(time.Now().Add(time.Second)), request.Write(conn)); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// files returns the configuration of upstream's programs: what kubeadm writes, and what
// a sandbox requires of any kubelet (cgroup v1, a read-only /usr, the host's kernel
// limits, and the host's disk, which may be fuller than upstream's percentages allow).
// Everything else is upstream's default.
func files(node nodeconfig.Node) map[string]string {
	kubeconfig := func(certificate, key string) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://%s:%d", certificate-authority: %s/ca.crt}}]
users: [{name: u, user: {client-certificate: %s, client-key: %s}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
`, node.ControlPlanes[0].Address, nodeconfig.PortKubernetes, nodeconfig.PKIDir, certificate, key)
	}
	return map[string]string{
		"kubelet.kubeconfig": kubeconfig(nodeconfig.PKIDir+"/kubelet.crt", nodeconfig.PKIDir+"/kubelet.key"),
		"proxy.kubeconfig":   kubeconfig(nodeconfig.PKIDir+"/proxy.crt", nodeconfig.PKIDir+"/proxy.key"),
		"kubelet.yaml": fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %[1]s/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
clusterDNS: [%[2]s]
clusterDomain: %[3]s
containerRuntimeEndpoint: unix://%[4]s
evictionHard: {memory.available: 100Mi, nodefs.available: 0%%, nodefs.inodesFree: 0%%, imagefs.available: 0%%}
failCgroupV1: false
imageGCHighThresholdPercent: 100
resolvConf: /etc/resolv.conf
staticPodPath: %[5]s/manifests
volumePluginDir: %[5]s/plugins
`, nodeconfig.PKIDir, node.Kubernetes.DNSAddress, node.Kubernetes.DNSDomain, nodeconfig.ContainerdSocket, dir),
		"kube-proxy.yaml": fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: %s/proxy.kubeconfig}
clusterCIDR: %s
hostnameOverride: %s
mode: nftables
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`, dir, node.Kubernetes.PodCIDR, node.Name),
		"start": fmt.Sprintf(`#!/bin/sh
%[1]s/kube-proxy --config=%[1]s/kube-proxy.yaml >%[1]s/kube-proxy.log 2>&1 &
exec %[1]s/kubelet --config=%[1]s/kubelet.yaml --kubeconfig=%[1]s/kubelet.kubeconfig
`, dir),
	}
}
