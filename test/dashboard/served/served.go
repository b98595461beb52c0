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

// Dashboard returns the dashboard of a control plane, which is that of the cluster "first".
// The clusters "second", which has the same control plane, and "third", which is stopped, are
// on the same host. The caller closes it.
func Dashboard(s *rig.Server) (*server.Server, error) {
	if _, err := web.Assets().Open(web.Index + web.Suffix); err != nil {
		return nil, ErrNotBuilt
	}
	all := []daemonapi.ClusterStatus{running(s, "first"), running(s, "second"), {Name: "third", Phase: "stopped"}}
	second := server.New(config(all, 1))
	first := config(all, 0)
	first.Link = func(ctx context.Context, _ string) (daemonapi.DashboardLink, error) {
		content, err := kubeconfig(s, "")
		if err != nil {
			return daemonapi.DashboardLink{}, err
		}
		return second.Open(ctx, daemonapi.DashboardRequest{Kubeconfig: content})
	}
	return server.New(first), nil
}

func running(s *rig.Server, name string) daemonapi.ClusterStatus {
	return daemonapi.ClusterStatus{
		Name: name, Phase: "running", Driver: "sandbox", Accelerator: "native", Server: s.Config.Host, APIReady: true, Kubernetes: "v1.36.3",
		Nodes: []daemonapi.NodeStatus{{Name: "control-plane-1", Role: "control-plane", Address: "192.168.104.11", Machine: "running", Agent: true, Ready: "True", CPUs: 2, MemoryMiB: 2048}},
	}
}

// config returns the configuration of the dashboard of one of all clusters.
func config(all []daemonapi.ClusterStatus, of int) server.Config {
	return server.Config{
		Cluster: all[of].Name, Version: "v0.0.0", Host: all[of].Name + "-x.localhost", Daemon: daemon(all[of]), Assets: web.Assets(), Log: slog.New(slog.DiscardHandler),
		Clusters: func(context.Context) ([]daemonapi.ClusterStatus, error) { return all, nil },
	}
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
	answer(daemonapi.PathMetrics+"/api/v1/label/namespace/values", map[string]any{"status": "success", "data": rig.Namespaces})
	stored := []map[string]any{}
	for _, name := range rig.Namespaces {
		stored = append(stored, map[string]any{"value": name, "hits": 1})
	}
	answer(daemonapi.PathLogs+"/select/logsql/stream_field_values", map[string]any{"values": stored})
	mux.HandleFunc(daemonapi.PathLogs+"/", func(http.ResponseWriter, *http.Request) {})
	return mux
}

// Link returns a link with which a user logs in; the administrator if the name is empty.
func Link(ctx context.Context, dashboard *server.Server, s *rig.Server, user string) (string, error) {
	return LinkOn(ctx, dashboard, s, user, "")
}

// LinkOn is Link, and also writes a page that redirects to the link unless its path is
// empty.
func LinkOn(ctx context.Context, dashboard *server.Server, s *rig.Server, user, page string) (string, error) {
	content, err := kubeconfig(s, user)
	if err != nil {
		return "", err
	}
	link, err := dashboard.Open(ctx, daemonapi.DashboardRequest{Kubeconfig: content, Page: page})
	return link.URL, err
}

// kubeconfig returns the kubeconfig of a user, who is impersonated.
func kubeconfig(s *rig.Server, user string) ([]byte, error) {
	file, err := clientcmd.LoadFromFile(s.Kubeconfig)
	if err != nil {
		return nil, err
	}
	file.AuthInfos[rig.Context].Impersonate = user
	for _, info := range file.AuthInfos {
		info.LocationOfOrigin = s.Kubeconfig
	}
	if err := clientcmdapi.FlattenConfig(file); err != nil {
		return nil, err
	}
	return clientcmd.Write(*file)
}
