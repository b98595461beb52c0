package controlapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/internal/unixsocket"
)

// fake records the calls that it receives.
type fake struct {
	calls []string
	err   error
	// broken is returned by Snapshot after half of the snapshot.
	broken error
}

func (f *fake) called(call string, arguments ...any) error {
	f.calls = append(f.calls, strings.TrimSpace(call+" "+fmt.Sprint(arguments...)))
	return f.err
}

func (f *fake) Status(context.Context) (controlapi.Status, error) {
	return controlapi.Status{State: controlapi.StateHeld, Held: "one", Alarms: []string{"full"}}, f.called("status")
}
func (f *fake) Drain(context.Context) error { return f.called("drain") }
func (f *fake) Keys(context.Context) (controlapi.Keys, error) {
	return controlapi.Keys{Loaded: "abc"}, f.called("keys")
}
func (f *fake) Room(_ context.Context, r controlapi.RoomRequest) (controlapi.Room, error) {
	return controlapi.Room{Needs: []controlapi.Need{{Group: "worker", Nodes: 2}}}, f.called("room", r.Candidates)
}
func (f *fake) Members(context.Context) ([]controlapi.EtcdMember, error) {
	return []controlapi.EtcdMember{{Name: "a", Leader: true}, {Name: "b", Error: "no answer"}}, f.called("members")
}
func (f *fake) SecretKeys(context.Context) (map[string]int, error) {
	return map[string]int{"key1": 2, "": 1}, f.called("secret keys")
}
func (f *fake) Remove(_ context.Context, r controlapi.RemoveRequest) error {
	return f.called("remove", r)
}
func (f *fake) Snapshot(_ context.Context, out io.Writer) error {
	if err := f.called("snapshot"); err != nil {
		return err
	}
	_, err := io.WriteString(out, strings.Repeat("x", 100_000))
	return errors.Join(err, f.broken)
}
func (f *fake) Defragment(context.Context) error { return f.called("defragment") }
func (f *fake) Compact(context.Context) error    { return f.called("compact") }
func (f *fake) Stage(_ context.Context, in io.Reader) (controlapi.SnapshotInfo, error) {
	content, err := io.ReadAll(in)
	return controlapi.SnapshotInfo{SHA256: "abc", Bytes: int64(len(content))}, errors.Join(err, f.called("stage"))
}
func (f *fake) Hold(_ context.Context, r controlapi.RestoreRequest) error { return f.called("hold", r) }
func (f *fake) Replace(_ context.Context, r controlapi.RestoreRequest) error {
	return f.called("replace", r)
}
func (f *fake) Revert(_ context.Context, r controlapi.RestoreRequest) error {
	return f.called("revert", r)
}
func (f *fake) Release(_ context.Context, r controlapi.ReleaseRequest) error {
	return f.called("release", r)
}

// serve serves s on a unix socket and returns its path and a client.
func serve(t *testing.T, s controlapi.Service) (string, controlapi.Client) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	listener, err := unixsocket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- controlapi.Serve(ctx, listener, s) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return path, controlapi.Dial(path)
}

// calls makes every call of a Service and returns the answers.
func calls(ctx context.Context, s controlapi.Service) map[string]func() (any, error) {
	none := func(err error) (any, error) { return nil, err }
	return map[string]func() (any, error){
		"status": func() (any, error) { return s.Status(ctx) },
		"drain":  func() (any, error) { return none(s.Drain(ctx)) },
		"keys":   func() (any, error) { return s.Keys(ctx) },
		"room [a b]": func() (any, error) {
			return s.Room(ctx, controlapi.RoomRequest{Candidates: []string{"a", "b"}})
		},
		"members":     func() (any, error) { return s.Members(ctx) },
		"secret keys": func() (any, error) { return s.SecretKeys(ctx) },
		"remove {b 192.0.2.1}": func() (any, error) {
			return none(s.Remove(ctx, controlapi.RemoveRequest{Name: "b", Address: "192.0.2.1"}))
		},
		"snapshot": func() (any, error) {
			var out strings.Builder
			err := s.Snapshot(ctx, &out)
			return out.Len(), err
		},
		"defragment":    func() (any, error) { return none(s.Defragment(ctx)) },
		"compact":       func() (any, error) { return none(s.Compact(ctx)) },
		"stage":         func() (any, error) { return s.Stage(ctx, strings.NewReader("snapshot")) },
		"hold {one}":    func() (any, error) { return none(s.Hold(ctx, controlapi.RestoreRequest{ID: "one"})) },
		"replace {one}": func() (any, error) { return none(s.Replace(ctx, controlapi.RestoreRequest{ID: "one"})) },
		"revert {one}":  func() (any, error) { return none(s.Revert(ctx, controlapi.RestoreRequest{ID: "one"})) },
		"release {one b}": func() (any, error) {
			return none(s.Release(ctx, controlapi.ReleaseRequest{ID: "one", Join: "b"}))
		},
	}
}

func TestClientReachesEveryMethodOfTheService(t *testing.T) {
	f := &fake{}
	_, client := serve(t, f)
	direct := calls(t.Context(), &fake{})
	for name, call := range calls(t.Context(), client) {
		f.calls = nil
		got, err := call()
		want, _ := direct[name]()
		if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(f.calls, []string{name}) {
			t.Errorf("%s: %v, %v, calls %q; want %v", name, got, err, f.calls, want)
		}
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	f := &fake{}
	_, client := serve(t, f)
	for _, want := range []error{controlapi.ErrInvalid, controlapi.ErrRefused, errors.New("out of order")} {
		f.err = fmt.Errorf("%w: because", want)
		for name, call := range calls(t.Context(), client) {
			_, err := call()
			if err == nil || !strings.Contains(err.Error(), f.err.Error()) {
				t.Errorf("%s: %v, want %v", name, err, f.err)
			}
			for _, kind := range []error{controlapi.ErrInvalid, controlapi.ErrRefused} {
				if errors.Is(err, kind) != errors.Is(want, kind) {
					t.Errorf("%s: %v is %v", name, err, kind)
				}
			}
		}
	}
}

func TestABrokenSnapshotIsAnError(t *testing.T) {
	_, client := serve(t, &fake{broken: errors.New("the disk is gone")})
	var out strings.Builder
	if err := client.Snapshot(t.Context(), &out); err == nil {
		t.Errorf("%d bytes and no error", out.Len())
	}
}

func TestAMissingSocketIsAnError(t *testing.T) {
	if _, err := controlapi.Dial(filepath.Join(t.TempDir(), "absent")).Status(t.Context()); err == nil {
		t.Error("a status without a socket")
	}
}

func TestMalformedRequestsReachNoService(t *testing.T) {
	f := &fake{}
	_, client := serve(t, f)
	long := `{"id":"` + strings.Repeat("x", 1<<20) + `"}`
	for _, body := range []string{"", "nonsense", `{"id":1}`, `{"id":"one","more":1}`, `{"id":"one"}{}`, long} {
		for _, path := range []string{controlapi.PathHold, controlapi.PathReplace, controlapi.PathRevert, controlapi.PathRelease, controlapi.PathRemove} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, client.URL+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Transport.RoundTrip(request)
			if err != nil {
				continue // it was too long to be read
			}
			_ = response.Body.Close()
			if response.StatusCode != http.StatusUnprocessableEntity {
				t.Errorf("%s %.40q: %s", path, body, response.Status)
			}
		}
	}
	if len(f.calls) > 0 {
		t.Errorf("calls %q", f.calls)
	}
}

func TestEveryPatternIsServed(t *testing.T) {
	handler, ok := controlapi.Handler(&fake{}).(*http.ServeMux)
	if !ok {
		t.Fatal("the handler is not a ServeMux")
	}
	for _, pattern := range controlapi.Patterns() {
		method, path, _ := strings.Cut(pattern, " ")
		request, err := http.NewRequestWithContext(t.Context(), method, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := handler.Handler(request); got != pattern || !strings.HasPrefix(path, controlapi.Prefix) {
			t.Errorf("%s is served as %q", pattern, got)
		}
	}
}
