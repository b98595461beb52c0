// Package cloud is the cloud that a cluster runs on: it tells control planes about
// the cluster's machines and gives services of type LoadBalancer their addresses.
// Only control planes can use it, and they can change nothing but load balancers.
package cloud

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
	"github.com/skiff-dev/skiff/internal/jsonhttp"
)

// Limits of a request. A control plane uses one or two connections.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 30 * time.Second
	idleTimeout    = 5 * time.Minute
	maxHeader      = 16 << 10
)

// Errors of Instances and LoadBalancers that a client can do something about. Their
// text, with what wraps it, is shown to users.
var (
	// ErrNotFound reports that an instance or a load balancer does not exist.
	ErrNotFound = errors.New("not found")
	// ErrTaken reports that another service has the address.
	ErrTaken = errors.New("the address is in use")
	// ErrUnusable reports an address that load balancers cannot have.
	ErrUnusable = errors.New("the address cannot be used")
	// ErrExhausted reports that no address is left.
	ErrExhausted = errors.New("no address is left")
)

// Instances are the machines of the cluster. It may be called concurrently.
type Instances interface {
	// Instance returns the machine of a node. The error wraps ErrNotFound only if it
	// is certain that the cluster has no such machine.
	Instance(ctx context.Context, node string) (cloudapi.Instance, error)
	// Admits reports whether a client is a control plane of the cluster: name is the
	// one in its certificate, address the one that it connects from.
	Admits(name string, address netip.Addr) bool
}

// LoadBalancers are those of the cluster's services. It may be called concurrently.
type LoadBalancers interface {
	// Get returns a service's load balancer. The error wraps ErrNotFound if there is
	// none.
	Get(uid string) (cloudapi.Status, error)
	// Ensure creates or changes a load balancer, which is valid. If existing is true
	// it creates none; the error then wraps ErrNotFound.
	Ensure(l cloudapi.LoadBalancer, existing bool) (cloudapi.Status, error)
	// Delete removes a load balancer if it exists.
	Delete(uid string) error
	// Retain removes the load balancers of all services but those with these UIDs.
	Retain(uids []string) error
}

// Config of the endpoint.
type Config struct {
	// TLS requires a certificate of the cluster's control planes.
	TLS           *tls.Config
	Instances     Instances
	LoadBalancers LoadBalancers
	Log           *slog.Logger
}

// Serve serves the cloud on a listener until ctx ends, and closes it.
func Serve(ctx context.Context, listener net.Listener, config Config) error {
	server := &http.Server{
		Handler:           Handler(config),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(tls.NewListener(listener, config.TLS))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve the cloud endpoint: %w", err)
}

// Handler returns the routes, for clients that TLS has authenticated.
func Handler(config Config) http.Handler {
	s := &server{config}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+cloudapi.PathInstances+"{node}", s.instance)
	mux.HandleFunc("GET "+cloudapi.PathLoadBalancers+"{uid}", s.get)
	mux.HandleFunc("PUT "+cloudapi.PathLoadBalancers+"{uid}", s.ensure)
	mux.HandleFunc("DELETE "+cloudapi.PathLoadBalancers+"{uid}", s.delete)
	mux.HandleFunc("POST "+cloudapi.PathRetain, s.retain)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.admitted(r) {
			http.Error(w, "only control planes of the cluster may use its cloud", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type server struct{ Config }

// admitted reports whether a request's certificate is that of a control plane and
// comes from its machine, so that a certificate is of no use elsewhere.
func (s *server) admitted(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	return s.Instances.Admits(r.TLS.PeerCertificates[0].Subject.CommonName, from.Addr().Unmap())
}

func (s *server) instance(w http.ResponseWriter, r *http.Request) {
	instance, err := s.Instances.Instance(r.Context(), r.PathValue("node"))
	s.answer(w, instance, err)
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	status, err := s.LoadBalancers.Get(r.PathValue("uid"))
	s.answer(w, status, err)
}

func (s *server) ensure(w http.ResponseWriter, r *http.Request) {
	var balancer cloudapi.LoadBalancer
	err := jsonhttp.Decode(http.MaxBytesReader(w, r.Body, cloudapi.MaxRequest), &balancer)
	if err == nil {
		err = balancer.Validate()
	}
	if err == nil && balancer.UID != r.PathValue("uid") {
		err = fmt.Errorf("the path names another UID than %q", balancer.UID)
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("invalid load balancer: %v", err), http.StatusBadRequest)
		return
	}
	existing := r.Header.Get("If-Match") == "*"
	status, err := s.LoadBalancers.Ensure(balancer, existing)
	if existing && errors.Is(err, ErrNotFound) {
		http.Error(w, err.Error(), http.StatusPreconditionFailed)
		return
	}
	s.answer(w, status, err)
}

func (s *server) delete(w http.ResponseWriter, r *http.Request) {
	s.answer(w, nil, s.LoadBalancers.Delete(r.PathValue("uid")))
}

func (s *server) retain(w http.ResponseWriter, r *http.Request) {
	var retained cloudapi.Retained
	err := jsonhttp.Decode(http.MaxBytesReader(w, r.Body, cloudapi.MaxRequest), &retained)
	if err == nil && len(retained.UIDs) > cloudapi.MaxRetained {
		err = fmt.Errorf("%d services: the maximum is %d", len(retained.UIDs), cloudapi.MaxRetained)
	}
	if err != nil {
		http.Error(w, fmt.Sprintf("invalid list of services: %v", err), http.StatusBadRequest)
		return
	}
	s.answer(w, nil, s.LoadBalancers.Retain(retained.UIDs))
}

// answer sends a value, nothing if it is nil, or an error.
func (s *server) answer(w http.ResponseWriter, value any, err error) {
	switch {
	case err != nil:
		code := codeOf(err)
		if code == http.StatusInternalServerError {
			s.Log.Warn("a request of a control plane failed", "error", err)
		}
		http.Error(w, err.Error(), code)
	case value == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		jsonhttp.Write(w, value)
	}
}

func codeOf(err error) int {
	for target, code := range map[error]int{
		ErrNotFound: http.StatusNotFound, ErrTaken: http.StatusConflict,
		ErrUnusable: http.StatusUnprocessableEntity, ErrExhausted: http.StatusInsufficientStorage,
	} {
		if errors.Is(err, target) {
			return code
		}
	}
	return http.StatusInternalServerError
}
