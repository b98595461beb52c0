package cloudapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
)

const (
	// callLimit bounds a call. The daemon answers from memory, at most after a write
	// of a small file, but a busy host may be slow.
	callLimit = 10 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 1 << 20
	// idleTimeout is how long an unused connection is kept.
	idleTimeout = time.Minute
)

// ErrNotFound reports that an instance or a load balancer does not exist.
var ErrNotFound = errors.New("the cloud has no such object")

// Refusal is an answer other than success. Trying again without a change of the
// cluster's services does not help.
type Refusal struct {
	Status int
	Reason string
}

// Error returns the reason.
func (r *Refusal) Error() string { return r.Reason }

// Client calls the cloud from a control plane. Every call has a time limit.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client of the endpoint at an address. It reads the files in the PKI
// directory for every connection, since the host replaces them.
func NewClient(endpoint netip.AddrPort, pkiDir string) (*Client, error) {
	if _, err := clientConfig(pkiDir); err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		config, err := clientConfig(pkiDir)
		if err != nil {
			return nil, err
		}
		return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
	}
	return &Client{
		base: "https://" + endpoint.String(),
		http: &http.Client{Timeout: callLimit, Transport: &http.Transport{DialTLSContext: dial, IdleConnTimeout: idleTimeout, MaxIdleConns: 2}},
	}, nil
}

func clientConfig(pkiDir string) (*tls.Config, error) {
	authority, err := os.ReadFile(filepath.Join(pkiDir, FileAuthority))
	if err != nil {
		return nil, fmt.Errorf("read the cloud's authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s contains no certificate", FileAuthority)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(pkiDir, FileCertificate), filepath.Join(pkiDir, FileKey))
	if err != nil {
		return nil, fmt.Errorf("read the certificate for the cloud: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: ServerName, Certificates: []tls.Certificate{pair}}, nil
}

// Instance returns the machine of a node. The error wraps ErrNotFound if the cluster
// has no such machine.
func (c *Client) Instance(ctx context.Context, node string) (Instance, error) {
	var instance Instance
	err := c.call(ctx, http.MethodGet, PathInstances+node, nil, false, &instance)
	return instance, wrap("look up the machine of node "+node, err)
}

// LoadBalancer returns the load balancer of the service with a UID. The error wraps
// ErrNotFound if there is none.
func (c *Client) LoadBalancer(ctx context.Context, uid string) (Status, error) {
	var status Status
	err := c.call(ctx, http.MethodGet, PathLoadBalancers+uid, nil, false, &status)
	return status, wrap("look up the load balancer", err)
}

// Ensure creates a load balancer or changes it.
func (c *Client) Ensure(ctx context.Context, l LoadBalancer) (Status, error) {
	var status Status
	err := c.call(ctx, http.MethodPut, PathLoadBalancers+l.UID, l, false, &status)
	return status, wrap("ensure the load balancer", err)
}

// Update changes a load balancer. The error wraps ErrNotFound if there is none.
func (c *Client) Update(ctx context.Context, l LoadBalancer) error {
	return wrap("update the load balancer", c.call(ctx, http.MethodPut, PathLoadBalancers+l.UID, l, true, nil))
}

// Delete removes a load balancer if it exists.
func (c *Client) Delete(ctx context.Context, uid string) error {
	return wrap("delete the load balancer", c.call(ctx, http.MethodDelete, PathLoadBalancers+uid, nil, false, nil))
}

// Retain removes the load balancers of all services but those with the given UIDs.
func (c *Client) Retain(ctx context.Context, uids []string) error {
	return wrap("remove load balancers without a service", c.call(ctx, http.MethodPost, PathRetain, Retained{UIDs: uids}, false, nil))
}

// CloseIdleConnections closes connections that no call uses.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// call sends a request and decodes the answer into answer, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, request any, existing bool, answer any) error {
	r, err := jsonhttp.NewRequest(ctx, method, c.base+path, request)
	if err != nil {
		return err
	}
	if existing {
		r.Header.Set("If-Match", "*")
	}
	response, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusPreconditionFailed:
		return ErrNotFound
	case response.StatusCode >= http.StatusMultipleChoices:
		return &Refusal{Status: response.StatusCode, Reason: strings.TrimSpace(string(content))}
	case answer == nil:
		return nil
	}
	return json.Unmarshal(content, answer)
}

func wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", action, err)
}
