// Package served serves the dashboard of a control plane that runs as a local process,
// with a daemon whose stores are empty.
package served

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/skiff-dev/skiff/test/ui/rig"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/web"
	"github.com/skiff-dev/skiff/web/server"
)

// ErrNotBuilt is returned if this program does not contain the front end.
var ErrNotBuilt = errors.New("the front end is not built: run make web")

// Dashboard returns the dashboard of a control plane. The caller closes it.
func Dashboard(s *rig.Server) (*server.Server, error) {
	if _, err := web.Assets().Open(web.Index + web.Suffix); err != nil {
		return nil, ErrNotBuilt
	}
	status := daemonapi.ClusterStatus{
		Name: "first", Phase: "running", Driver: "sandbox", Accelerator: "native", Server: s.Config.Host, APIReady: true, Kubernetes: "v1.36.3",
		Nodes: []daemonapi.NodeStatus{{Name: "control-plane-1", Role: "control-plane", Address: "192.168.104.11", Machine: "running", Agent: true, Ready: "True", CPUs: 2, MemoryMiB: 2048}},
	}
	return server.New(server.Config{
		Cluster: "first", Version: "v0.0.0", Host: "first-x.localhost", Daemon: daemon(status), Assets: web.Assets(), Log: slog.New(slog.DiscardHandler),
		Clusters: func(context.Context) ([]daemonapi.ClusterStatus, error) {
			return []daemonapi.ClusterStatus{status, {Name: "second", Phase: "stopped"}}, nil
		},
	}), nil
}

// daemon serves the part of a daemon's API that the dashboard uses.
func daemon(status daemonapi.ClusterStatus) http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, value any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(value)
		})
	}
	answer("GET "+daemonapi.PathStatus, status)
	answer("GET "+daemonapi.PathServices, daemonapi.Services{})
	answer(daemonapi.PathMetrics+"/", map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": []any{}}})
	mux.HandleFunc(daemonapi.PathLogs+"/", func(http.ResponseWriter, *http.Request) {})
	return mux
}

// Link returns a link with which a user logs in; the administrator if the name is empty.
func Link(ctx context.Context, dashboard *server.Server, s *rig.Server, user string) (string, error) {
	file, err := clientcmd.LoadFromFile(s.Kubeconfig)
	if err != nil {
		return "", err
	}
	file.AuthInfos[rig.Context].Impersonate = user
	for _, info := range file.AuthInfos {
		info.LocationOfOrigin = s.Kubeconfig
	}
	if err := clientcmdapi.FlattenConfig(file); err != nil {
		return "", err
	}
	content, err := clientcmd.Write(*file)
	if err != nil {
		return "", err
	}
	link, err := dashboard.Open(ctx, daemonapi.DashboardRequest{Kubeconfig: content})
	return link.URL, err
}
