package api

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

const (
	// builderLimit is how long the builder may take to start or to stop.
	builderLimit = 60 * time.Second
	builderPoll  = 50 * time.Millisecond
)

// Builder is where the program is that builds images. The host sends it when it is
// needed first, so that it is not part of every node.
type Builder struct {
	// Dir gets the program as program-DIGEST, and the link "program".
	Dir string
	// Socket is where the program serves, Start where PID 1 waits before it starts it.
	Socket, Start string
}

func (b Builder) program() sent { return sent{b.Dir, "program"} }

// builder connects the host to the builder.
func (s *Server) builder(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != nodeapi.UpgradeBuilder {
		http.Error(w, "the builder needs Upgrade: "+nodeapi.UpgradeBuilder, http.StatusUpgradeRequired)
		return
	}
	digest := digestOf(w, r)
	if digest == "" {
		return
	}
	if !s.Builder.program().has(digest) {
		http.Error(w, "this builder is not on the node", http.StatusPreconditionFailed)
		return
	}
	program, err := s.Builder.dial(r.Context())
	if err != nil {
		http.Error(w, fmt.Sprintf("the builder did not start: %v", err), http.StatusServiceUnavailable)
		return
	}
	defer program.Close()
	host, in, err := upgrade(w, nodeapi.UpgradeBuilder)
	if err != nil {
		return
	}
	defer host.Close()
	// The server's context ends when PID 1 stops the API. When either side has ended,
	// closing the other connection ends its copy.
	stop := context.AfterFunc(r.Context(), func() { host.Close() })
	defer stop()
	ended := make(chan struct{}, 2)
	relay := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from) // the other side sees the end
		ended <- struct{}{}
	}
	go relay(program, in)
	go relay(host, program)
	<-ended
	host.Close()
	program.Close()
	<-ended
}

// dial connects to the builder, which PID 1 starts if it is not running.
func (b Builder) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, builderLimit)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "unix", b.Socket)
		if err == nil {
			return conn, nil
		}
		// PID 1 listens only while the builder is not running.
		if ask, err := dialer.DialContext(ctx, "unix", b.Start); err == nil {
			ask.Close()
		}
		if pause.For(ctx, builderPoll) != nil {
			return nil, err
		}
	}
}

// builderProgram installs the builder.
func (s *Server) builderProgram(w http.ResponseWriter, r *http.Request) {
	digest := digestOf(w, r)
	if digest == "" {
		return
	}
	content := http.MaxBytesReader(w, r.Body, nodeapi.MaxProgramBytes)
	s.installing.Lock()
	defer s.installing.Unlock()
	if s.Builder.program().has(digest) {
		// Another client was first, and may be building already.
		_, _ = io.Copy(io.Discard, content)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err := s.Builder.program().install(digest, content); err != nil {
		http.Error(w, fmt.Sprintf("install the builder: %v", err), http.StatusBadRequest)
		return
	}
	if err := s.stopBuilder(r.Context()); err != nil {
		http.Error(w, fmt.Sprintf("stop the earlier builder: %v", err), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// stopBuilder ends the builder if it runs, so that the next one to start is the one
// that was installed last.
func (s *Server) stopBuilder(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, builderLimit)
	defer cancel()
	first := 0
	for {
		status, err := s.Status()
		if err != nil {
			return err
		}
		pid := 0
		for _, p := range status.Programs {
			if p.Name == nodeapi.ProgramBuilder {
				pid = p.PID
			}
		}
		if first == 0 && pid != 0 {
			if first = pid; syscall.Kill(pid, syscall.SIGTERM) != nil {
				return nil
			}
		}
		if pid == 0 || pid != first {
			return nil
		}
		if err := pause.For(ctx, builderPoll); err != nil {
			return err
		}
	}
}
