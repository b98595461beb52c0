package main

import (
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
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/internal/pause"
)

// configuration lets Prometheus scrape what the daemon does: the kubelets, through the API
// server, and the API server. Everything else is as by default.
const configuration = `
global: {scrape_interval: 15s}
scrape_configs:
- job_name: kubelet
  scheme: https
  tls_config: &tls {ca_file: %[1]s/ca.crt, cert_file: %[1]s/client.crt, key_file: %[1]s/client.key}
  kubernetes_sd_configs: &nodes [{role: node, kubeconfig_file: %[2]s}]
  relabel_configs:
  - {target_label: __address__, replacement: "%[3]s"}
  - {source_labels: [__meta_kubernetes_node_name], target_label: node}
  - {source_labels: [node], target_label: __metrics_path__, replacement: /api/v1/nodes/$1/proxy/metrics/cadvisor}
- job_name: resource
  scheme: https
  tls_config: *tls
  kubernetes_sd_configs: *nodes
  relabel_configs:
  - {target_label: __address__, replacement: "%[3]s"}
  - {source_labels: [__meta_kubernetes_node_name], target_label: node}
  - {source_labels: [node], target_label: __metrics_path__, replacement: /api/v1/nodes/$1/proxy/metrics/resource}
- job_name: apiserver
  scheme: https
  tls_config: *tls
  static_configs: [{targets: ["%[3]s"]}]
`

// peer measures Prometheus, and returns how many series it keeps.
func (b *bench) peer(ctx context.Context) (used cost, series float64, err error) {
	dir := filepath.Join(b.skiff.Dir, "prometheus")
	config, err := b.configure(dir)
	if err != nil {
		return cost{}, 0, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return cost{}, 0, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return cost{}, 0, err
	}
	command := exec.CommandContext(ctx, b.prometheus, "--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", address, "--log.level", "error")
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		return cost{}, 0, err
	}
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it was killed
	}()
	all, err := b.watch(ctx, command.Process.Pid)
	if err != nil {
		return cost{}, 0, err
	}
	series, err = count(ctx, address)
	return all[0], series, err
}

// configure writes the configuration and the credentials of the administrator.
func (b *bench) configure(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	admin, err := clientcmd.BuildConfigFromFlags("", b.skiff.Kubeconfig())
	if err != nil {
		return "", err
	}
	server, err := url.Parse(admin.Host)
	if err != nil {
		return "", err
	}
	config := filepath.Join(dir, "prometheus.yml")
	return config, errors.Join(
		os.WriteFile(filepath.Join(dir, "ca.crt"), admin.CAData, 0o600),
		os.WriteFile(filepath.Join(dir, "client.crt"), admin.CertData, 0o600),
		os.WriteFile(filepath.Join(dir, "client.key"), admin.KeyData, 0o600),
		os.WriteFile(config, fmt.Appendf(nil, configuration, dir, b.skiff.Kubeconfig(), server.Host), 0o600),
	)
}

// count asks Prometheus for the number of its series.
func count(ctx context.Context, address string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1/query?query="+url.QueryEscape(`count({__name__=~".+"})`), nil)
		if err != nil {
			return 0, err
		}
		reply, err := http.DefaultClient.Do(request)
		if err == nil {
			var answer response
			err = json.NewDecoder(reply.Body).Decode(&answer)
			_ = reply.Body.Close()
			if err == nil {
				return answer.value()
			}
		}
		if pause.For(ctx, time.Second) != nil {
			return 0, err
		}
	}
}
