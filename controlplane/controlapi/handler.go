package controlapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/skiff-dev/skiff/internal/jsonhttp"
)

const (
	// maxRequest bounds the JSON of a request, in bytes.
	maxRequest    = 64 << 10
	headerTimeout = 20 * time.Second
)

// Serve serves s on the listener until ctx ends, and closes the listener.
func Serve(ctx context.Context, listener net.Listener, s Service) error {
	server := &http.Server{Handler: Handler(s), ReadHeaderTimeout: headerTimeout}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("serve the control socket: %w", err)
	}
	return nil
}

// Handler serves s.
func Handler(s Service) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathStatus, get(s.Status))
	mux.HandleFunc("POST "+PathDrain, act(s.Drain))
	mux.HandleFunc("GET "+PathKeys, get(s.Keys))
	mux.HandleFunc("POST "+PathRoom, func(w http.ResponseWriter, r *http.Request) {
		var request RoomRequest
		if err := jsonhttp.Decode(http.MaxBytesReader(w, r.Body, maxRequest), &request); err != nil {
			done(w, fmt.Errorf("%w: read the request: %w", ErrInvalid, err))
			return
		}
		room, err := s.Room(r.Context(), request)
		answer(w, room, err)
	})
	mux.HandleFunc("GET "+PathMembers, get(s.Members))
	mux.HandleFunc("GET "+PathSecretKeys, get(s.SecretKeys))
	mux.HandleFunc("POST "+PathRemove, post(s.Remove))
	mux.HandleFunc("GET "+PathSnapshot, func(w http.ResponseWriter, r *http.Request) { serveSnapshot(w, r, s) })
	mux.HandleFunc("POST "+PathDefragment, act(s.Defragment))
	mux.HandleFunc("POST "+PathCompact, act(s.Compact))
	mux.HandleFunc("PUT "+PathStage, func(w http.ResponseWriter, r *http.Request) {
		info, err := s.Stage(r.Context(), http.MaxBytesReader(w, r.Body, MaxSnapshotBytes))
		answer(w, info, err)
	})
	mux.HandleFunc("POST "+PathHold, post(s.Hold))
	mux.HandleFunc("POST "+PathReplace, post(s.Replace))
	mux.HandleFunc("POST "+PathRevert, post(s.Revert))
	mux.HandleFunc("POST "+PathRelease, post(s.Release))
	return mux
}

// get serves a request without a body and with an answer.
func get[T any](ask func(context.Context) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := ask(r.Context())
		answer(w, value, err)
	}
}

// act serves a request without a body and without an answer.
func act(do func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { done(w, do(r.Context())) }
}

// post serves a request with a body and without an answer.
func post[T any](do func(context.Context, T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request T
		if err := jsonhttp.Decode(http.MaxBytesReader(w, r.Body, maxRequest), &request); err != nil {
			done(w, fmt.Errorf("%w: read the request: %w", ErrInvalid, err))
			return
		}
		done(w, do(r.Context(), request))
	}
}

func answer(w http.ResponseWriter, value any, err error) {
	if err != nil {
		done(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

// done answers 204, or the error with the status that a Client maps back.
func done(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, ErrInvalid):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	case errors.Is(err, ErrRefused):
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// serveSnapshot breaks the connection if the snapshot fails midway, so that an
// incomplete one is never taken for a whole one.
func serveSnapshot(w http.ResponseWriter, r *http.Request, s Etcd) {
	out := &started{ResponseWriter: w}
	err := s.Snapshot(r.Context(), out)
	switch {
	case err != nil && out.began:
		panic(http.ErrAbortHandler)
	case err != nil:
		done(w, err)
	}
}

// started notes whether the answer has begun.
type started struct {
	http.ResponseWriter
	began bool
}

func (s *started) Write(p []byte) (int, error) {
	if !s.began {
		s.began = true
		s.Header().Set("Content-Type", "application/octet-stream")
	}
	return s.ResponseWriter.Write(p)
}
