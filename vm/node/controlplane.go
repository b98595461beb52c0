package node

import (
	"net/http"
	"strings"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// ControlPlane returns a client of the node's control plane. Its calls are
// limited by the client itself.
func (c *Client) ControlPlane() controlapi.Client {
	return controlapi.Client{URL: c.base, Transport: failures{c.streams}}
}

// failures returns the daemon's own answers, which are JSON, as errors.
type failures struct{ http.RoundTripper }

func (f failures) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := f.RoundTripper.RoundTrip(r)
	if err != nil || response.StatusCode < http.StatusMultipleChoices || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		return response, err
	}
	defer func() { _ = response.Body.Close() }()
	return nil, daemonapi.ReadFailure(response)
}
