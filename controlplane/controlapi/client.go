package controlapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// maxAnswer bounds what is read of an answer that is not a snapshot, in bytes.
	maxAnswer = 4 << 20
	// callLimit bounds a call that only reads or writes small files, longLimit one
	// that drains clients or copies a database of 2 GiB.
	callLimit = 30 * time.Second
	longLimit = 10 * time.Minute
)

// Client calls the Service of a control plane. It implements Service. Every call
// has a time limit, so that a process that hangs cannot block its caller.
type Client struct {
	// Transport carries the requests.
	Transport http.RoundTripper
	// URL is what precedes the paths, without a slash at the end: the URL of a
	// node API, for one.
	URL string
}

var _ Service = Client{}

// Dial returns a client of the unix socket at path, for use on the node itself.
func Dial(path string) Client {
	return Client{URL: "http://controlplane", Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
}

// Status implements Process.
func (c Client) Status(ctx context.Context) (Status, error) { return fetch[Status](ctx, c, PathStatus) }

// Drain implements Process.
func (c Client) Drain(ctx context.Context) error {
	return c.post(ctx, PathDrain, nil)
}

// Keys implements Process.
func (c Client) Keys(ctx context.Context) (Keys, error) { return fetch[Keys](ctx, c, PathKeys) }

// Room implements Process. It is errors.ErrUnsupported if the node's image is too old for it.
func (c Client) Room(ctx context.Context, r RoomRequest) (Room, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	content, err := json.Marshal(r)
	if err != nil {
		return Room{}, fmt.Errorf("encode the request: %w", err)
	}
	response, err := c.do(ctx, http.MethodPost, PathRoom, bytes.NewReader(content))
	if err != nil {
		return Room{}, err
	}
	return read[Room](response)
}

// Members implements Etcd.
func (c Client) Members(ctx context.Context) ([]EtcdMember, error) {
	return fetch[[]EtcdMember](ctx, c, PathMembers)
}

// SecretKeys implements Etcd.
func (c Client) SecretKeys(ctx context.Context) (map[string]int, error) {
	return fetch[map[string]int](ctx, c, PathSecretKeys)
}

// Remove implements Etcd.
func (c Client) Remove(ctx context.Context, r RemoveRequest) error {
	return c.post(ctx, PathRemove, r)
}

// Snapshot implements Etcd.
func (c Client) Snapshot(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, longLimit)
	defer cancel()
	response, err := c.do(ctx, http.MethodGet, PathSnapshot, nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(out, io.LimitReader(response.Body, MaxSnapshotBytes)); err != nil {
		return fmt.Errorf("read the snapshot: %w", err)
	}
	return nil
}

// Defragment implements Etcd.
func (c Client) Defragment(ctx context.Context) error {
	return c.post(ctx, PathDefragment, nil)
}

// Compact implements Etcd.
func (c Client) Compact(ctx context.Context) error {
	return c.post(ctx, PathCompact, nil)
}

// Stage implements Restore.
func (c Client) Stage(ctx context.Context, snapshot io.Reader) (SnapshotInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, longLimit)
	defer cancel()
	response, err := c.do(ctx, http.MethodPut, PathStage, snapshot)
	if err != nil {
		return SnapshotInfo{}, err
	}
	return read[SnapshotInfo](response)
}

// Hold implements Restore.
func (c Client) Hold(ctx context.Context, r RestoreRequest) error {
	return c.post(ctx, PathHold, r)
}

// Replace implements Restore.
func (c Client) Replace(ctx context.Context, r RestoreRequest) error {
	return c.post(ctx, PathReplace, r)
}

// Revert implements Restore.
func (c Client) Revert(ctx context.Context, r RestoreRequest) error {
	return c.post(ctx, PathRevert, r)
}

// Release implements Restore.
func (c Client) Release(ctx context.Context, r ReleaseRequest) error {
	return c.post(ctx, PathRelease, r)
}

// limit returns how long a call may take.
func limit(path string) time.Duration {
	if slices.Contains([]string{PathStatus, PathKeys, PathHold, PathRelease}, path) {
		return callLimit
	}
	return longLimit
}

// fetch gets and decodes a value.
func fetch[T any](ctx context.Context, c Client, path string) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(path))
	defer cancel()
	response, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		var none T
		return none, err
	}
	return read[T](response)
}

// read decodes an answer and closes it.
func read[T any](response *http.Response) (value T, err error) {
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&value); err != nil {
		return value, fmt.Errorf("read the control plane's answer: %w", err)
	}
	return value, nil
}

// post sends a request, nil for none, that is answered without a body.
func (c Client) post(ctx context.Context, path string, request any) error {
	ctx, cancel := context.WithTimeout(ctx, limit(path))
	defer cancel()
	var body io.Reader
	if request != nil {
		content, err := json.Marshal(request)
		if err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(content)
	}
	response, err := c.do(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// do sends one request. The caller closes the answer's body. A Service's
// ErrInvalid and ErrRefused are found in the error again.
func (c Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return nil, err
	}
	response, err := c.Transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("call the control plane: %w", err)
	}
	if response.StatusCode < http.StatusMultipleChoices {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	content, _ := io.ReadAll(io.LimitReader(response.Body, maxRequest))
	message := strings.TrimSpace(string(content))
	switch response.StatusCode {
	case http.StatusUnprocessableEntity:
		return nil, remote{ErrInvalid, message}
	case http.StatusConflict:
		return nil, remote{ErrRefused, message}
	case http.StatusNotFound:
		return nil, fmt.Errorf("call the control plane: %w", errors.ErrUnsupported)
	case http.StatusInternalServerError:
		return nil, errors.New(message)
	default:
		return nil, fmt.Errorf("%s: %s", response.Status, message)
	}
}

// remote is an error of the Service, whose message names the kind already.
type remote struct {
	kind    error
	message string
}

func (r remote) Error() string { return r.message }
func (r remote) Unwrap() error { return r.kind }
