package kube

import (
	"net"
	"net/http"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
)

// A connection without data for pingAfter is pinged. If there is no response
// within pingTimeout it is closed, which ends its watches.
const (
	pingAfter   = 3 * time.Second
	pingTimeout = 5 * time.Second
)

// newHTTPClient returns an HTTP client that closes a connection to a server that
// stopped responding: it pings the server after quiet, which must respond within
// timeout. An idle watch looks like one whose server hangs; client-go's own
// connections take 45 seconds to tell them apart.
func newHTTPClient(config *rest.Config, quiet, timeout time.Duration) (*http.Client, error) {
	config = rest.CopyConfig(config)
	if config.Dial == nil {
		// A custom dialer keeps client-go from sharing the transport with other users
		// of an equal configuration.
		config.Dial = (&net.Dialer{Timeout: timeout, KeepAlive: quiet}).DialContext
	}
	config.Wrap(func(outer http.RoundTripper) http.RoundTripper {
		inner := outer
		for {
			if transport, ok := inner.(*http.Transport); ok {
				transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: quiet, PingTimeout: timeout}
				return outer
			}
			wrapper, ok := inner.(utilnet.RoundTripperWrapper)
			if !ok {
				return outer
			}
			inner = wrapper.WrappedRoundTripper()
		}
	})
	return rest.HTTPClientFor(config)
}
