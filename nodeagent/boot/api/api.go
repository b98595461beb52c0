// Package api serves the node API to the host only: every client must present a
// certificate that the host's own authority has signed.
package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/nodeagent/boot/spool"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

const (
	// maxRequest bounds the JSON of a request. An argument of a program may be a whole
	// shell script.
	maxRequest    = 1 << 20
	headerTimeout = 20 * time.Second
	// idleTimeout lets the host keep its connection between two requests.
	idleTimeout = 5 * time.Minute
)

// Server is the node API.
type Server struct {
	// PKIDir has host-ca.crt, node-api.crt and node-api.key.
	PKIDir string
	// Status returns the part of the status that is not read from the kernel.
	Status func() (nodeapi.Status, error)
	// Power asks PID 1 to end the machine.
	Power func(action string) error
	// Clock sets the machine's clock.
	Clock func(time.Time) error
	// Grow grows the file system of the node's own disk; nil if that is the host's.
	Grow func(ctx context.Context) error
	// Host takes over settings of the host.
	Host func(nodeconfig.Host) error
	// Identity takes over a document, and Random seeds the kernel's random generator.
	Identity func(node nodeconfig.Node, raw []byte) error
	Random   func([]byte) error
	// MemoryUsed, if set, returns the used memory in KiB, where /proc/meminfo does not
	// show it.
	MemoryUsed func() int64
	// LogDirs have a NAME.log for each program, in one of them.
	LogDirs []string
	// Spool keeps log files for the host; nil if there is none.
	Spool *spool.Spool
	// DataDir is where the node's own disk is mounted.
	DataDir string
	// AlarmsDir has a file for each program with a message for the user.
	AlarmsDir string
	// Filler fills the node's own disk on purpose; nil if the disk is the host's.
	Filler  *Filler
	Builder Builder
	// RuntimesDir gets the programs of container runtimes.
	RuntimesDir string
	// Mounted reports whether the node's own disk is mounted.
	Mounted func() bool
	// ControlSocket is where the control plane serves package controlapi; empty on
	// a worker.
	ControlSocket string
	// Env returns the environment of programs of exec.
	Env func() []string
	Log *slog.Logger

	// AheadFile has how far the clock is ahead on purpose while it is; it does not survive
	// a boot.
	AheadFile string

	installing sync.Mutex // held while a program that the host sent is installed
}

// TLSConfig requires TLS 1.3 and a client certificate of the host's authority. All files
// are read for every connection, since the host replaces them.
func (s *Server) TLSConfig() (*tls.Config, error) {
	config, err := s.connectionConfig()
	if err != nil {
		return nil, err
	}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.connectionConfig() }
	return config, nil
}

func (s *Server) connectionConfig() (*tls.Config, error) {
	own, err := tls.LoadX509KeyPair(filepath.Join(s.PKIDir, "node-api.crt"), filepath.Join(s.PKIDir, "node-api.key"))
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(filepath.Join(s.PKIDir, "host-ca.crt"))
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(authority) {
		return nil, errors.New("host-ca.crt contains no certificate")
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Time:         func() time.Time { return time.Now().Add(-s.ahead()) },
		Certificates: []tls.Certificate{own},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients,
		// An upgrade to exec needs HTTP/1.1.
		NextProtos:             []string{"http/1.1"},
		SessionTicketsDisabled: true,
	}, nil
}

// Run serves on the listener until ctx ends, and closes it.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	config, err := s.TLSConfig()
	if err != nil {
		return errors.Join(fmt.Errorf("node API certificates: %w", err), listener.Close())
	}
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	stop := context.AfterFunc(ctx, func() {
		if err := server.Close(); err != nil {
			s.Log.Warn("close the node API", "error", err)
		}
	})
	defer stop()
	err = server.Serve(tls.NewListener(listener, config))
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the node API: %w", err)
}

// Handler returns the routes, without their transport.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+nodeapi.PathStatus, s.status)
	mux.HandleFunc("GET "+nodeapi.PathLogs, s.logs)
	mux.HandleFunc("POST "+nodeapi.PathTakeLogs, s.takeLogs)
	mux.HandleFunc("POST "+nodeapi.PathExec, s.exec)
	mux.HandleFunc("POST "+nodeapi.PathPower, s.power)
	mux.HandleFunc("POST "+nodeapi.PathClock, s.clock)
	mux.HandleFunc("POST "+nodeapi.PathDisk, s.disk)
	mux.HandleFunc("POST "+nodeapi.PathGrow, s.grow)
	mux.HandleFunc("POST "+nodeapi.PathFiles, s.files)
	mux.HandleFunc("POST "+nodeapi.PathHost, s.host)
	mux.HandleFunc("POST "+nodeapi.PathIdentity, s.identity)
	mux.HandleFunc("POST "+nodeapi.PathBuilder, s.builder)
	mux.HandleFunc("PUT "+nodeapi.PathBuilderProgram, s.builderProgram)
	mux.HandleFunc("GET "+nodeapi.PathPrograms, s.programs)
	mux.HandleFunc("PUT "+nodeapi.PathPrograms+"/{name}", s.putProgram)
	s.forwardControlPlane(mux)
	return mux
}

func (s *Server) power(w http.ResponseWriter, r *http.Request) {
	var request nodeapi.PowerRequest
	if !decode(w, r, &request) {
		return
	}
	if request.Action != nodeapi.PowerActionOff && request.Action != nodeapi.PowerActionRestart {
		http.Error(w, fmt.Sprintf("invalid power action %q: use off or restart", request.Action), http.StatusBadRequest)
		return
	}
	// Answer first: afterwards the machine may be gone before the answer is sent, and
	// the host would wait for it forever.
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	if err := http.NewResponseController(w).Flush(); err != nil {
		s.Log.Warn("answer before the machine ends", "error", err)
	}
	if err := s.Power(request.Action); err != nil {
		s.Log.Error("end the machine", "action", request.Action, "error", err)
	}
}

func (s *Server) clock(w http.ResponseWriter, r *http.Request) {
	var request nodeapi.ClockRequest
	if !decode(w, r, &request) {
		return
	}
	if request.Time.Unix() <= 0 {
		http.Error(w, "the time is missing", http.StatusBadRequest)
		return
	}
	ahead := time.Duration(request.AheadSeconds * float64(time.Second))
	if math.IsNaN(request.AheadSeconds) || math.Abs(request.AheadSeconds) > farthest.Seconds() || request.Time.Add(ahead).Unix() <= 0 {
		http.Error(w, fmt.Sprintf("invalid offset of %g s", request.AheadSeconds), http.StatusBadRequest)
		return
	}
	err := s.setAhead(ahead)
	if err == nil {
		err = s.Clock(request.Time.Add(ahead))
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("set the clock: %v", err), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// farthest is how far a clock may be set wrong on purpose.
const farthest = 20 * 365 * 24 * time.Hour

// ahead returns how far the clock is ahead on purpose.
func (s *Server) ahead() time.Duration {
	content, err := os.ReadFile(s.AheadFile)
	if err != nil {
		return 0
	}
	ahead, err := time.ParseDuration(string(content))
	if err != nil {
		return 0
	}
	return ahead
}

func (s *Server) setAhead(ahead time.Duration) error {
	if ahead == 0 {
		if err := os.Remove(s.AheadFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return os.WriteFile(s.AheadFile, []byte(ahead.String()), 0o600)
}

func (s *Server) grow(w http.ResponseWriter, r *http.Request) {
	if s.Grow != nil {
		if err := s.Grow(r.Context()); err != nil {
			http.Error(w, fmt.Sprintf("grow the file system: %v", err), http.StatusInternalServerError)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) host(w http.ResponseWriter, r *http.Request) {
	var request nodeconfig.Host
	if !decode(w, r, &request) {
		return
	}
	if err := request.Validate(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.Host(request); err != nil {
		http.Error(w, fmt.Sprintf("take over settings of the host: %v", err), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// SetClock sets the kernel's clock.
func SetClock(to time.Time) error {
	now := unix.NsecToTimespec(to.UnixNano())
	return unix.ClockSettime(unix.CLOCK_REALTIME, &now)
}

// decode reads a JSON request strictly. If it is invalid, decode answers with the
// error and returns false.
func decode(w http.ResponseWriter, r *http.Request, request any) bool {
	return decodeUpTo(maxRequest, w, r, request)
}

// decodeUpTo is decode for a request with at most as many bytes.
func decodeUpTo(most int64, w http.ResponseWriter, r *http.Request, request any) bool {
	if err := jsonhttp.Decode(http.MaxBytesReader(w, r.Body, most), request); err != nil {
		http.Error(w, fmt.Sprintf("request: %v", err), http.StatusBadRequest)
		return false
	}
	return true
}
