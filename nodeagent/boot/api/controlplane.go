package api

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

// alarmLimit bounds how long the control plane may take to report its alarms.
const alarmLimit = time.Second

// forwardControlPlane forwards the routes of package controlapi, and nothing
// else, to the control plane's socket.
func (s *Server) forwardControlPlane(mux *http.ServeMux) {
	if s.ControlSocket == "" {
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", "controlplane"
			p.Out.Host = ""
		},
		Transport: &http.Transport{
			DisableKeepAlives: true, // the control plane's process may be another one at any time
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", s.ControlSocket)
			},
		},
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "the control plane is not running: "+err.Error(), http.StatusServiceUnavailable)
		},
	}
	for _, pattern := range controlapi.Patterns() {
		mux.Handle(pattern, proxy)
	}
}

// controlPlaneAlarms returns the alarms that the control plane reports, none if
// it is not running.
func (s *Server) controlPlaneAlarms(ctx context.Context) []string {
	if s.ControlSocket == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, alarmLimit)
	defer cancel()
	status, err := controlapi.Dial(s.ControlSocket).Status(ctx)
	if err != nil {
		return nil
	}
	return status.Alarms
}
