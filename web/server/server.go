package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/internal/loopback"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Config of a Server.
type Config struct {
	// Cluster is the name of the cluster.
	Cluster string
	// Version of this program.
	Version string
	// Host is the name of this host in links; it must resolve to the loopback address.
	// Browsers send a cookie to every port of a host name. With a name of its own, the
	// dashboard's cookie is not sent to other servers on this host. The default,
	// "127.0.0.1", always works.
	Host string
	// Daemon serves the API of the cluster's daemon (package daemonapi).
	Daemon http.Handler
	// Clusters returns the status of all clusters of this user.
	Clusters func(ctx context.Context) ([]daemonapi.ClusterStatus, error)
	// Link returns a link to the dashboard of another cluster, as its administrator.
	Link func(ctx context.Context, cluster string) (daemonapi.DashboardLink, error)
	// Assets are the files of the front end, as package web returns them.
	Assets fs.FS
	Log    *slog.Logger
}

// localAddress addresses this host without a resolver.
const localAddress = "127.0.0.1"

// sweepPeriod is how often sessions are checked for their end.
const sweepPeriod = 10 * time.Second

// Server is the dashboard of one cluster.
type Server struct {
	config   Config
	sessions sessions
	// Namespaces that have stored logs, and those that have stored metrics.
	logged, measured namespaceCache

	mu      sync.Mutex // guards the fields below
	closed  bool
	port    int // 0 while nothing is served
	http    *http.Server
	serving sync.WaitGroup
}

// New returns a Server that does not listen yet.
func New(config Config) *Server {
	if config.Host == "" {
		config.Host = localAddress
	}
	return &Server{config: config}
}

// Open returns a link with which one browser can log in once, within inviteLife. The
// first link opens the port. The error is a *daemonapi.Failure if the request is invalid
// or the API server does not accept its credentials.
func (s *Server) Open(ctx context.Context, request daemonapi.DashboardRequest) (daemonapi.DashboardLink, error) {
	who, err := identify(ctx, s.config.Cluster, request.Kubeconfig)
	if err != nil {
		return daemonapi.DashboardLink{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return daemonapi.DashboardLink{}, errors.New("the dashboard is being closed")
	}
	if err := s.listen(request.Port); err != nil {
		return daemonapi.DashboardLink{}, err
	}
	now := time.Now()
	token := s.sessions.invite(who, request.Page, now)
	link := url.URL{
		Scheme: "http", Host: net.JoinHostPort(s.config.Host, strconv.Itoa(s.port)), Path: pathLogin,
		RawQuery: url.Values{"token": {token}}.Encode(),
	}
	if request.Page != "" {
		if err := writeOpener(request.Page, link.String()); err != nil {
			s.sessions.withdraw(token)
			return daemonapi.DashboardLink{}, err
		}
	}
	return daemonapi.DashboardLink{URL: link.String(), User: who.user, Groups: who.groups, Expires: now.Add(inviteLife)}, nil
}

// listen opens a port, 0 for any free one, unless one is open. s.mu is held.
func (s *Server) listen(port int) error {
	if s.http != nil {
		if port != 0 && port != s.port {
			return &daemonapi.Failure{
				Cause: fmt.Sprintf("the dashboard is served on port %d already", s.port), Invalid: true,
				Hint: "leave out --port, or wait until its last session has ended",
			}
		}
		return nil
	}
	listeners, err := loopback.Listen(port)
	if err != nil {
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("cannot listen on port %d of the loopback interface: %v", port, err), Invalid: true,
			Hint: "choose another one with --port, or leave it out",
		}
	}
	s.port = listeners[0].Addr().(*net.TCPAddr).Port
	server := &http.Server{
		Handler: s.handler(s.port), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
	s.http = server
	var open sync.WaitGroup
	for _, listener := range listeners {
		open.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				s.config.Log.Error("the dashboard is no longer served", "address", listener.Addr(), "error", err)
			}
		})
	}
	ended := make(chan struct{})
	s.serving.Go(func() {
		open.Wait()
		close(ended)
	})
	s.serving.Go(func() { s.sweep(ended) })
	s.config.Log.Info("dashboard served", "port", s.port)
	return nil
}

// sweep ends sessions in time, and closes the port after the last one.
func (s *Server) sweep(ended <-chan struct{}) {
	ticker := time.NewTicker(sweepPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return
		case now := <-ticker.C:
			s.mu.Lock()
			if s.sessions.sweep(now) == 0 {
				s.shut()
			}
			s.mu.Unlock()
		}
	}
}

// shut closes the port and all connections. s.mu is held.
func (s *Server) shut() {
	if s.http == nil {
		return
	}
	if err := s.http.Close(); err != nil {
		s.config.Log.Warn("close the dashboard", "error", err)
	}
	s.http, s.port = nil, 0
	s.config.Log.Info("dashboard closed")
}

// Close ends all sessions and returns when nothing is served any more.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.sessions.clear()
	s.shut()
	s.mu.Unlock()
	s.serving.Wait()
}

// checkKubeconfig returns a failure unless a kubeconfig contains its credentials: files
// could change, and programs would run in the daemon.
func checkKubeconfig(content []byte) error {
	file, err := clientcmd.Load(content)
	if err != nil {
		return &daemonapi.Failure{Cause: fmt.Sprintf("invalid kubeconfig: %v", err), Invalid: true}
	}
	for name, user := range file.AuthInfos {
		if user.Exec != nil || user.AuthProvider != nil {
			return &daemonapi.Failure{
				Cause: fmt.Sprintf("user %q runs a program to log in, which the dashboard does not support", name), Invalid: true,
				Hint: "make a kubeconfig with `skiff kubeconfig --user`, or use --as",
			}
		}
		if user.ClientCertificate != "" || user.ClientKey != "" || user.TokenFile != "" {
			return &daemonapi.Failure{Cause: fmt.Sprintf("user %q refers to files", name), Invalid: true}
		}
	}
	for name, cluster := range file.Clusters {
		if cluster.CertificateAuthority != "" {
			return &daemonapi.Failure{Cause: fmt.Sprintf("cluster %q refers to files", name), Invalid: true}
		}
	}
	return nil
}
