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

	"github.com/skiff-dev/skiff/internal/pause"
)

// How long a node that waits for its cluster pauses before it tries to reach it again. The
// libraries' own back-off grows to half a minute, too long for a cluster that starts in
// seconds. On an emulated machine an attempt costs more, so there the pauses are longer.
const (
	leastPause = 50 * time.Millisecond
	mostPause  = 250 * time.Millisecond
)

// Path is a request that tells a component whether it can start.
type Path string

// PathReady succeeds for everybody once the API server is ready.
const PathReady Path = "/readyz"

// PathList is a list that requires a role. The API server of a new cluster answers
// before its roles exist.
func PathList(group, resource string) Path {
	if group == "" {
		return Path("/api/v1/" + resource + "?limit=1")
	}
	return Path("/apis/" + group + "/v1/" + resource + "?limit=1")
}

// PathNode is a Node object, which does not exist before the node has registered.
func PathNode(name string) Path { return Path("/api/v1/nodes/" + name) }

// Wait returns nil when the API server grants the request, or the context's error.
func (i Identity) Wait(ctx context.Context, path Path) error {
	config := i.Config()
	config.Timeout = 5 * time.Second
	web, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("create a client for the API server: %w", err)
	}
	defer web.CloseIdleConnections()
	for said := map[string]bool{}; ; {
		begun := time.Now()
		err := probe(ctx, web, path)
		if err == nil {
			return nil
		}
		if message := reason(err); !said[message] {
			slog.Info("waiting for the API server", "path", path, "error", message)
			said[message] = true
		}
		if err := pause.For(ctx, pause.Between(time.Since(begun), leastPause, mostPause)); err != nil {
			return err
		}
	}
}

// reason returns an error's innermost message, without the parts that differ from
// one attempt to the next, such as a local port.
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
