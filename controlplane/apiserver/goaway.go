package apiserver

import (
	"net/http"
	"time"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/streaming/pkg/httpstream"
)

// Linger makes Run, once its context ends, serve for that much longer. Meanwhile
// the server reports that it is not ready, and clients are told to reconnect.
func (s *Server) Linger(d time.Duration) {
	s.aggregator.GenericAPIServer.ShutdownDelayDuration = d
}

// applyGoAway makes a stopping server close its clients' connections with the
// responses that it still sends. Upstream closes them only once it has stopped
// serving.
func (b *base) applyGoAway() {
	b.config.BuildHandlerChainFunc = func(api http.Handler, c *genericapiserver.Config) http.Handler {
		return goAway(genericapiserver.DefaultBuildHandlerChain(api, c), c.ShutdownInitiatedNotify())
	}
}

// goAway closes connections once stopping is closed, each after a response. In
// HTTP/2 the header means GOAWAY, after which requests in flight still complete
// (RFC 9113, section 6.8).
func goAway(inner http.Handler, stopping <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-stopping:
			if !httpstream.IsUpgradeRequest(r) { // an upgraded connection is not reused
				w.Header().Set("Connection", "close")
			}
		default:
		}
		inner.ServeHTTP(w, r)
	})
}
