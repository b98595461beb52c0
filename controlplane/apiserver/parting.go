package apiserver

import (
	"net/http"
	"time"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/streaming/pkg/httpstream"
)

// Linger has a Run whose context ends afterwards serve for that much longer. It
// says that it is not ready meanwhile, and each client with a request finds out
// that it should connect anew.
func (s *Server) Linger(d time.Duration) {
	s.aggregator.GenericAPIServer.ShutdownDelayDuration = d
}

// applyParting has a server that is about to stop part from its clients with the
// answers that it still gives. Upstream tells them when it does not serve any
// more.
func (b *base) applyParting() {
	b.config.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return parting(genericapiserver.DefaultBuildHandlerChain(api, c), c.ShutdownInitiatedNotify())
	}
}

// parting ends connections once stopping is closed, each after a request. In
// HTTP/2 that is GOAWAY, which lets all requests on the connection end
// (RFC 9113, section 6.8).
func parting(inner http.Handler, stopping <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-stopping:
			if !httpstream.IsUpgradeRequest(r) { // the connection is its own then
				w.Header().Set("Connection", "close")
			}
		default:
		}
		inner.ServeHTTP(w, r)
	})
}
