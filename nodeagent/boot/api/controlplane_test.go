package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/unixsocket"
)

// controlPlane answers a few of the calls that a control plane answers.
type controlPlane struct{ controlapi.Service }

func (controlPlane) Status(context.Context) (controlapi.Status, error) {
	return controlapi.Status{State: controlapi.StateServing, Alarms: []string{"the database is full"}}, nil
}

func (controlPlane) Snapshot(_ context.Context, out io.Writer) error {
	_, err := io.WriteString(out, strings.Repeat("x", 1<<20))
	return err
}

func (controlPlane) Stage(_ context.Context, in io.Reader) (controlapi.SnapshotInfo, error) {
	n, err := io.Copy(io.Discard, in)
	return controlapi.SnapshotInfo{Bytes: n}, err
}

func (controlPlane) Hold(context.Context, controlapi.RestoreRequest) error {
	return controlapi.ErrRefused
}

func TestTheControlPlaneIsReachedThroughTheNodeAPI(t *testing.T) {
	s := start(t)
	if code, text := s.do("GET", controlapi.PathStatus, ""); code != http.StatusServiceUnavailable || !strings.Contains(text, "not running") {
		t.Errorf("without a control plane: %d %s", code, text)
	}
	listener, err := unixsocket.Listen(s.control)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- controlapi.Serve(ctx, listener, controlPlane{}) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	client := controlapi.Client{URL: "https://" + s.address, Transport: s.client(s.config).Transport}
	if status, err := client.Status(t.Context()); err != nil || status.State != controlapi.StateServing {
		t.Errorf("status %+v, %v", status, err)
	}
	var snapshot strings.Builder
	if err := client.Snapshot(t.Context(), &snapshot); err != nil || snapshot.Len() != 1<<20 {
		t.Errorf("a snapshot of %d bytes, %v", snapshot.Len(), err)
	}
	if info, err := client.Stage(t.Context(), strings.NewReader(snapshot.String())); err != nil || info.Bytes != 1<<20 {
		t.Errorf("staged %+v, %v", info, err)
	}
	if err := client.Hold(t.Context(), controlapi.RestoreRequest{ID: "one"}); err == nil {
		t.Error("a refusal was lost")
	}
	for _, path := range []string{controlapi.Prefix, controlapi.Prefix + "other", controlapi.PathStatus + "/more", "/v1/controlplane"} {
		if code, _ := s.do("GET", path, ""); code != http.StatusNotFound {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, _ := s.do("GET", controlapi.PathDrain, ""); code != http.StatusMethodNotAllowed {
		t.Errorf("GET of a POST: %d", code)
	}
	if code, text := s.do("GET", "/v1/status", ""); code != http.StatusOK || !strings.Contains(text, "the database is full") {
		t.Errorf("the node's status has no alarm: %d %s", code, text)
	}
}
