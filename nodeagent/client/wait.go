package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"
)

// serverPoll is how often a node that waits for its cluster looks for it. The
// libraries' own waiting doubles up to half a minute, which a cluster that
// starts in seconds would notice.
const serverPoll = 250 * time.Millisecond

// WaitForServer returns when the API server answers the identity's token, or
// anything at all if it has none.
func WaitForServer(ctx context.Context, identity Identity) error {
	authority, err := os.ReadFile(identity.CA)
	if err != nil {
		return fmt.Errorf("read the cluster's CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return fmt.Errorf("%s holds no certificate", identity.CA)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}
	defer transport.CloseIdleConnections()
	web := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	last := ""
	for {
		err := probe(ctx, web, identity.Token)
		if err == nil {
			return nil
		}
		if message := reason(err); message != last {
			slog.Info("the API server does not answer yet", "error", message)
			last = message
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(serverPoll):
		}
	}
}

// reason is an error without what differs from one attempt to the next, such
// as a local port.
func reason(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}

func probe(ctx context.Context, web *http.Client, token string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, Server+"/readyz", nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := web.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 256))
	// An anonymous request may be refused by a server that is well; a token
	// that is refused is not known yet.
	wellRefused := token == "" && (response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden)
	if response.StatusCode == http.StatusOK || wellRefused {
		return nil
	}
	return fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(body))
}
