package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

const (
	// killAfter is how long programs of an exec have to exit after SIGHUP.
	killAfter = 2 * time.Second
	// lingerTime is how long the host has to close the connection of a program that has
	// exited.
	lingerTime = 5 * time.Second
)

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != nodeapi.UpgradeExec {
		http.Error(w, "exec needs Upgrade: "+nodeapi.UpgradeExec, http.StatusUpgradeRequired)
		return
	}
	var request nodeapi.ExecRequest
	if !decode(w, r, &request) {
		return
	}
	if len(request.Args) == 0 || request.Args[0] == "" {
		http.Error(w, "exec needs a program", http.StatusBadRequest)
		return
	}
	conn, in, err := upgrade(w, nodeapi.UpgradeExec)
	if err != nil {
		return
	}
	defer conn.Close()
	// The server's context ends when PID 1 stops the API.
	session := &session{conn: conn, in: in, out: nodeapi.NewWriter(conn)}
	if err := session.run(r.Context(), request, s.Env()); err != nil {
		s.Log.Info("exec", "program", request.Args[0], "error", err)
	}
}

// upgrade takes over the connection of a request for another protocol. in has what the
// host sent after the request. The caller closes the connection; the error needs no
// answer.
func upgrade(w http.ResponseWriter, protocol string) (conn net.Conn, in *bufio.Reader, err error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return nil, nil, err
	}
	err = conn.SetDeadline(time.Time{})
	if err == nil {
		_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, buffered.Reader, nil
}

// session is a program that runs for the host over one connection.
type session struct {
	conn net.Conn
	in   *bufio.Reader
	out  *nodeapi.Writer

	feeding atomic.Bool // true while a write to the program's stdin blocks

	mu       sync.Mutex // guards terminal
	terminal *os.File   // the controlling end, nil without a TTY
}

// run returns when the program has exited and its output was sent, or when the
// connection has failed and the program was killed.
func (s *session) run(ctx context.Context, request nodeapi.ExecRequest, env []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command, stdin, output, err := s.start(request, env)
	if err != nil {
		return errors.Join(err, s.out.Write(nodeapi.Failure, []byte(err.Error())))
	}
	defer s.closeTerminal()
	gone := context.AfterFunc(ctx, func() {
		s.conn.Close() // ends readFrames and every write
		hangUp(command.Process.Pid)
	})
	defer gone()
	reading := make(chan struct{})
	go func() {
		defer cancel()
		defer close(reading)
		s.readFrames(stdin)
	}()
	go watchPeer(ctx, s.conn, s.ask, cancel)

	sent := output.Wait()
	waited := command.Wait()
	code, ok := exitCode(waited)
	if !ok {
		return errors.Join(waited, s.out.Write(nodeapi.Failure, []byte(waited.Error())))
	}
	sent = errors.Join(sent, s.out.Write(nodeapi.Exit, binary.BigEndian.AppendUint32(nil, uint32(code))))
	// Input that arrives on a closed connection is answered with a reset, which makes the
	// host discard the exit code. So the host closes the connection.
	gone()
	select {
	case <-reading:
	case <-time.After(lingerTime):
	}
	return sent
}

// start starts the program and the copying of its output, as the leader of a
// process group (or, with a terminal, of a session) of its own.
func (s *session) start(request nodeapi.ExecRequest, env []string) (*exec.Cmd, io.WriteCloser, *copies, error) {
	path, err := lookPath(request.Args[0], env)
	if err != nil {
		return nil, nil, nil, err
	}
	command := &exec.Cmd{Path: path, Args: request.Args, Env: append(append([]string{}, env...), request.Env...), Dir: "/"}
	if request.TTY {
		return s.startTerminal(command, request.Rows, request.Columns)
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	stderr, err := command.StderrPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := command.Start(); err != nil {
		return nil, nil, nil, err
	}
	output := &copies{}
	output.add(s.out.Stream(nodeapi.Stdout), stdout)
	output.add(s.out.Stream(nodeapi.Stderr), stderr)
	return command, stdin, output, nil
}

func (s *session) startTerminal(command *exec.Cmd, rows, columns uint16) (*exec.Cmd, io.WriteCloser, *copies, error) {
	control, terminal, err := openTerminal(rows, columns)
	if err != nil {
		return nil, nil, nil, err
	}
	defer terminal.Close()
	command.Stdin, command.Stdout, command.Stderr = terminal, terminal, terminal
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		return nil, nil, nil, errors.Join(err, control.Close())
	}
	s.mu.Lock()
	s.terminal = control
	s.mu.Unlock()
	output := &copies{}
	output.add(s.out.Stream(nodeapi.Stdout), control)
	return command, terminalInput{control}, output, nil
}

// readFrames passes the host's input to the program until the connection ends. It
// buffers nothing: a program that does not read its input blocks the connection.
func (s *session) readFrames(stdin io.WriteCloser) {
	defer stdin.Close()
	open := true
	for {
		stream, payload, err := nodeapi.ReadFrame(s.in)
		if err != nil {
			return
		}
		switch stream {
		case nodeapi.Stdin:
			if open {
				// A program that has closed its stdin gets no more of it.
				s.feeding.Store(true)
				_, err := stdin.Write(payload)
				s.feeding.Store(false)
				open = err == nil
			}
		case nodeapi.StdinClose:
			open = false
			stdin.Close()
		case nodeapi.Resize:
			if len(payload) != 4 {
				return
			}
			s.resize(binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:]))
		default:
			return
		}
	}
}

// ask sends something to the host while nothing is read from the connection. The FIN
// of a host that has closed its end waits behind unread data, but the host answers
// what it receives with a reset.
func (s *session) ask() {
	if s.feeding.Load() {
		_ = s.out.Write(nodeapi.Stdout, nil) // watchPeer sees the error
	}
}

func (s *session) resize(rows, columns uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal != nil {
		// An error means that the program has exited.
		_ = setSize(s.terminal, rows, columns)
	}
}

func (s *session) closeTerminal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal != nil {
		s.terminal.Close()
		s.terminal = nil
	}
}

// hangUp ends a process group as a closed terminal does, and then kills it.
func hangUp(group int) {
	_ = syscall.Kill(-group, syscall.SIGHUP)
	time.AfterFunc(killAfter, func() { _ = syscall.Kill(-group, syscall.SIGKILL) })
}

// copies are the output streams of a program.
type copies struct {
	all sync.WaitGroup

	mu  sync.Mutex // guards err
	err error
}

func (c *copies) add(to io.Writer, from io.Reader) {
	c.all.Go(func() {
		_, err := io.Copy(to, from)
		// Reading from a terminal whose last program has exited returns EIO.
		if err != nil && !errors.Is(err, syscall.EIO) && !errors.Is(err, os.ErrClosed) {
			c.mu.Lock()
			c.err = errors.Join(c.err, err)
			c.mu.Unlock()
		}
	})
}

// Wait returns when all streams have ended.
func (c *copies) Wait() error {
	c.all.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// exitCode returns the program's exit code, or 128 plus its signal as a shell does.
// It returns false if err is not about the program's exit.
func exitCode(err error) (int, bool) {
	if err == nil {
		return 0, true
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, false
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), true
	}
	return exit.ExitCode(), true
}

// lookPath finds a program in the PATH of env.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, variable := range env {
		path, ok := strings.CutPrefix(variable, "PATH=")
		if !ok {
			continue
		}
		for dir := range strings.SplitSeq(path, ":") {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return file, nil
			}
		}
	}
	return "", fmt.Errorf("%s: no such program on the node", name)
}
