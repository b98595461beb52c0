package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// maxAnswer bounds what is read of a node's answer, in bytes.
const maxAnswer = 4 << 20

// dialFunc connects to an address in the machines' network.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// nodeClient speaks to the node API of all nodes.
type nodeClient struct {
	transport *http.Transport
	dial      dialFunc // with TLS
}

func newNodeClient(dial dialFunc, config *tls.Config) *nodeClient {
	secured := dialNode(dial, config)
	return &nodeClient{dial: secured, transport: &http.Transport{
		DialTLSContext:      secured,
		MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
	}}
}

func nodeURL(address netip.Addr) string {
	return "https://" + netip.AddrPortFrom(address, nodeconfig.PortNodeAPI).String()
}

// status asks a node how it is.
func (c *nodeClient) status(ctx context.Context, address netip.Addr) (nodeapi.Status, error) {
	var status nodeapi.Status
	err := c.call(ctx, http.MethodGet, nodeURL(address)+nodeapi.PathStatus, nil, &status)
	return status, err
}

// files replaces files of a node's document.
func (c *nodeClient) files(ctx context.Context, address netip.Addr, files map[string][]byte) error {
	return c.call(ctx, http.MethodPost, nodeURL(address)+nodeapi.PathFiles, nodeapi.FilesRequest{Files: files}, nil)
}

// power turns a node off.
func (c *nodeClient) power(ctx context.Context, address netip.Addr) error {
	return c.call(ctx, http.MethodPost, nodeURL(address)+nodeapi.PathPower, nodeapi.PowerRequest{Action: "off"}, nil)
}

// clock sets a node's clock.
func (c *nodeClient) clock(ctx context.Context, address netip.Addr, now time.Time) error {
	return c.call(ctx, http.MethodPost, nodeURL(address)+nodeapi.PathClock, nodeapi.ClockRequest{Time: now}, nil)
}

func (c *nodeClient) call(ctx context.Context, method, target string, request, answer any) error {
	var body io.Reader
	if request != nil {
		content, err := json.Marshal(request)
		if err != nil {
			return err
		}
		body = bytes.NewReader(content)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	if request != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := c.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(content[:min(len(content), 300)])))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(content, answer)
}

// proxy passes a request on to a node's API; name is the node's.
func (c *nodeClient) proxy(w http.ResponseWriter, r *http.Request, name string, address netip.Addr) {
	target, err := url.Parse(nodeURL(address))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = target.Scheme, target.Host
			p.Out.URL.Path = strings.TrimPrefix(p.In.URL.Path, daemonapi.PathNode+name)
			p.Out.URL.RawPath = ""
			p.Out.Host = target.Host
		},
		Transport:     c.transport,
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			writeFailure(w, http.StatusBadGateway, &daemonapi.Failure{
				Cause: fmt.Sprintf("node %s does not answer: %v", name, err),
				Hint:  "skiff status shows whether its machine runs",
			})
		},
	}
	proxy.ServeHTTP(w, r)
}
