package dashboard

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/build"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/target"
	"github.com/skiff-dev/skiff/vm/daemon"
	"github.com/skiff-dev/skiff/vm/daemon/client"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/web"
	"github.com/skiff-dev/skiff/web/server"
)

// Serve returns a function that creates the dashboard of a cluster's daemon.
func Serve(h home.Home, name string) func(api http.Handler, log *slog.Logger) daemon.Dashboard {
	return func(api http.Handler, log *slog.Logger) daemon.Dashboard {
		return server.New(server.Config{
			Cluster: name, Version: build.Version(), Host: host(runtime.GOOS, name), Daemon: api, Assets: web.Assets(), Log: log,
			Clusters: func(ctx context.Context) ([]daemonapi.ClusterStatus, error) { return client.List(ctx, h) },
			Link: func(ctx context.Context, cluster string) (daemonapi.DashboardLink, error) {
				c := client.New(client.Config{Home: h, Name: cluster})
				credentials, err := c.Kubeconfig(ctx)
				if err != nil {
					return daemonapi.DashboardLink{}, target.Explain(cluster, err)
				}
				link, err := c.Dashboard(ctx, daemonapi.DashboardRequest{Kubeconfig: credentials})
				return link, target.Explain(cluster, err)
			},
		})
	}
}

// host returns the name of this host in links, one that nobody can guess. Browsers send
// the cookies of 127.0.0.1 to every server there, such as a pod behind a port-forward,
// and those of a name to every port of it, such as the web entry, where an Ingress can
// have any name. They resolve names below "localhost" themselves, except for Safari,
// which asks the system, and macOS knows only "localhost".
func host(system, cluster string) string {
	if system == "darwin" {
		return ""
	}
	return cluster + "-" + strings.ToLower(rand.Text()[:12]) + ".localhost"
}
