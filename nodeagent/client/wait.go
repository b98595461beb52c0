package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"k8s.io/client-go/rest"
)

// serverPoll is how often a node that waits for its cluster looks for it. The
// libraries' own waiting doubles up to half a minute, which a cluster that
// starts in seconds would notice.
const serverPoll = 250 * time.Millisecond

// Path is what a component asks the API server for to see whether it can start.
type Path string

// PathReady answers everybody once the API server is up.
const PathReady Path = "/readyz"

// PathList is a list that only somebody with the right to it is given. A new
// cluster's API server answers before it knows its roles.
func PathList(group, resource string) Path {
	if group == "" {
		return Path("/api/v1/" + resource + "?limit=1")
	}
	return Path("/apis/" + group + "/v1/" + resource + "?limit=1")
}

// PathNode is one Node object, which is not there before the node registered.
func PathNode(name string) Path { return Path("/api/v1/nodes/" + name) }

// Wait returns when the API server gives the identity what it asks for.
func (i Identity) Wait(ctx context.Context, path Path) error {
	config := i.Config()
	config.Timeout = 5 * time.Second
	web, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("prepare to ask the API server: %w", err)
	}
	defer web.CloseIdleConnections()
	last := ""
	for {
		err := probe(ctx, web, path)
		if err == nil {
			return nil
		}
		if message := reason(err); message != last {
			slog.Info("waiting for the API server", "path", path, "error", message)
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

func probe(ctx context.Context, web *http.Client, path Path) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, Server+string(path), nil)
	if err != nil {
		return err
	}
	response, err := web.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	return err
}
