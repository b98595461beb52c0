package kube

import (
	"net"
	"net/http"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
)

// A server that says nothing for quietLimit is asked whether it is there, and
// has pingLimit to answer: then its watches end, and what they showed is old.
const (
	quietLimit = 3 * time.Second
	pingLimit  = 5 * time.Second
)

// heedful returns an HTTP client that notices when the server has fallen silent:
// it is asked after quiet and must answer in time.
// A watch that has nothing to tell looks just like one whose server hangs;
// client-go's own connections take 45 seconds to tell them apart.
func heedful(config *rest.Config, quiet, answer time.Duration) (*http.Client, error) {
	config = rest.CopyConfig(config)
	if config.Dial == nil {
		// client-go shares transports of equal configurations; none is equal to one
		// with a dialer of its own.
		config.Dial = (&net.Dialer{Timeout: answer, KeepAlive: quiet}).DialContext
	}
	config.Wrap(func(outer http.RoundTripper) http.RoundTripper {
		inner := outer
		for {
			if transport, ok := inner.(*http.Transport); ok {
				transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: quiet, PingTimeout: answer}
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
