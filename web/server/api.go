package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// handler serves everything on a port.
func (s *Server) handler(port int) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, next sessionHandler) { mux.Handle(pattern, s.authenticated(port, next)) }
	mux.HandleFunc("GET "+pathLogin, s.login(port))
	mux.HandleFunc("GET "+pathAssets, s.asset)
	mux.HandleFunc("/", s.page)
	handle("GET /api/session", s.getSession)
	mux.Handle("DELETE /api/session", s.authenticated(port, func(w http.ResponseWriter, r *http.Request, _ *session) {
		if cookie, err := r.Cookie(cookieName(port)); err == nil {
			s.sessions.remove(cookie.Value)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	handle("GET /api/clusters", s.getClusters)
	handle("POST /api/clusters/{name}/open", s.openCluster)
	handle("GET /api/status", s.getStatus)
	handle("GET /api/services", s.getServices)
	handle("GET /api/scope", s.getScope)
	handle(pathKubernetes+"/", s.proxyKubernetes)
	handle("GET /api/metrics/api/v1/", s.getMetrics)
	handle("POST /api/metrics/api/v1/", s.getMetrics) // long queries are sent as forms
	handle("GET /api/logs/select/logsql/", s.getLogs)
	handle("POST /api/logs/select/logsql/", s.getLogs)
	handle("POST /api/actions/{action}", s.postAction)
	handle("GET /api/forwards", s.getForwards)
	handle("POST /api/forwards", s.postForward)
	handle("DELETE /api/forwards/{id}", s.deleteForward)
	handle(pathAPI, func(w http.ResponseWriter, r *http.Request, _ *session) {
		fail(w, http.StatusNotFound, r.Method+" "+r.URL.Path+" does not exist", "")
	})
	names := []string{localAddress}
	if s.config.Host != localAddress {
		names = append(names, s.config.Host)
	}
	return newGuard(port, names, mux)
}

func (s *Server) getSession(w http.ResponseWriter, _ *http.Request, session *session) {
	jsonhttp.Write(w, struct {
		Cluster string    `json:"cluster"`
		User    string    `json:"user"`
		Groups  []string  `json:"groups"`
		CSRF    string    `json:"csrf"`
		Version string    `json:"version"`
		Expires time.Time `json:"expires"`
	}{s.config.Cluster, session.user, session.groups, session.csrf, s.config.Version, session.expiry})
}

// listed is one cluster of getClusters.
type listed struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Nodes   int    `json:"nodes"`
	Current bool   `json:"current"`
}

func (s *Server) getClusters(w http.ResponseWriter, r *http.Request, session *session) {
	found, err := s.config.Clusters(r.Context())
	if err != nil {
		fail(w, http.StatusInternalServerError, "read the clusters: "+err.Error(), "")
		return
	}
	all := []listed{}
	for _, c := range found {
		current := c.Name == s.config.Cluster
		if !current && !session.administrator() {
			continue
		}
		state := c.Phase
		if state == "running" {
			state = "healthy"
		}
		all = append(all, listed{c.Name, state, len(c.Nodes), current})
	}
	jsonhttp.Write(w, all)
}

// openCluster returns a link to another cluster's dashboard. It leads to that
// cluster's administrator, so only this one's may ask for it.
func (s *Server) openCluster(w http.ResponseWriter, r *http.Request, session *session) {
	name := r.PathValue("name")
	if !session.administrator() {
		fail(w, http.StatusForbidden, session.user+" may not open other clusters", fmt.Sprintf("run `skiff dashboard %s`", name))
		return
	}
	known, err := s.config.Clusters(r.Context())
	if err != nil {
		fail(w, http.StatusInternalServerError, "read the clusters: "+err.Error(), "")
		return
	}
	for _, c := range known {
		if c.Name != name {
			continue
		}
		link, err := s.config.Link(r.Context(), name)
		if err != nil {
			failWith(w, http.StatusBadGateway, err)
			return
		}
		jsonhttp.Write(w, map[string]string{"url": link.URL})
		return
	}
	fail(w, http.StatusNotFound, fmt.Sprintf("no cluster named %q", name), "")
}

// failWith writes an error with its hint.
func failWith(w http.ResponseWriter, status int, err error) {
	var failure *daemonapi.Failure
	if errors.As(err, &failure) {
		fail(w, status, failure.Cause, failure.Hint)
		return
	}
	fail(w, status, err.Error(), "")
}

// Permissions in the whole cluster that a user needs to see data of the whole cluster.
var (
	seeNodes       = authorizationv1.ResourceAttributes{Verb: "list", Resource: "nodes"}
	seeServices    = authorizationv1.ResourceAttributes{Verb: "list", Resource: "services"}
	seePodMetrics  = authorizationv1.ResourceAttributes{Verb: "list", Group: "metrics.k8s.io", Resource: "pods"}
	seeNodeMetrics = authorizationv1.ResourceAttributes{Verb: "list", Group: "metrics.k8s.io", Resource: "nodes"}
)

// getStatus returns the daemon's status of the cluster, without its machines for users
// who may not see nodes.
func (s *Server) getStatus(w http.ResponseWriter, r *http.Request, session *session) {
	status, err := s.status(r)
	if err != nil {
		fail(w, http.StatusBadGateway, "read the cluster's status: "+err.Error(), "")
		return
	}
	if !session.may(r.Context(), seeNodes) {
		status = daemonapi.ClusterStatus{
			Name: status.Name, Phase: status.Phase, Server: status.Server, APIReady: status.APIReady, Kubernetes: status.Kubernetes,
		}
	}
	jsonhttp.Write(w, status)
}

// getServices returns the cluster's services that this host can reach.
func (s *Server) getServices(w http.ResponseWriter, r *http.Request, session *session) {
	if !session.may(r.Context(), seeServices) {
		fail(w, http.StatusForbidden, session.user+" may not list the services of the whole cluster", "")
		return
	}
	s.forwardToDaemon(w, r, "/api/services", daemonapi.PathServices)
}

// daemonRequest returns the request to the daemon for a request of a browser. Of the
// browser's headers, only Accept and Content-Type reach the daemon.
func daemonRequest(r *http.Request, path string) *http.Request {
	out := r.Clone(r.Context())
	out.URL = &url.URL{Path: path, RawQuery: r.URL.RawQuery}
	out.Host, out.RequestURI, out.Pattern = "daemon", "", ""
	out.Form, out.PostForm, out.MultipartForm = nil, nil, nil // the daemon reads the address and the body
	out.Header = http.Header{}
	for _, name := range []string{"Accept", "Content-Type"} {
		if value := r.Header.Get(name); value != "" {
			out.Header.Set(name, value)
		}
	}
	return out
}
