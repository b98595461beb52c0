package skiff

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

var (
	// ErrInvalid is wrapped by errors about invalid input. Nothing was changed.
	ErrInvalid = errors.New("invalid input")
	// ErrNotInstalled reports that the program skiff was not found.
	ErrNotInstalled = errors.New("skiff is not installed")
)

// Error is a command of skiff that failed.
type Error struct {
	// Args of the command.
	Args []string
	// ExitCode of the program; -1 if it was killed.
	ExitCode int
	// Message is what it printed about the error: the cause, and what to do about it.
	Message string
	cause   error
}

func (e *Error) Error() string {
	message := e.Message
	if message == "" {
		message = e.cause.Error()
	}
	return "skiff " + strings.Join(e.Args[:min(2, len(e.Args))], " ") + ": " + message
}

// Unwrap returns the context's error, ErrInvalid, or the error of package exec.
func (e *Error) Unwrap() error { return e.cause }

// The exit code for invalid input.
const exitInvalid = 2

const (
	// grace is how long the program may take to end after it was interrupted.
	grace = 10 * time.Second
	// maxLine bounds a line of events, and maxMessage what is kept of an error, in bytes.
	maxLine    = 1 << 20
	maxMessage = 16 << 10
)

// program is the installed skiff.
type program struct {
	path string // empty to look it up
	env  []string
}

// invocation is one run of the program.
type invocation struct {
	args  []string
	stdin string
	// line gets the lines of the standard output; it may be nil.
	line func([]byte)
	// out gets the standard output in place of line.
	out io.Writer
}

// output runs the program and returns its standard output.
func (p program) output(ctx context.Context, args ...string) ([]byte, error) {
	return p.outputOf(ctx, "", args...)
}

func (p program) outputOf(ctx context.Context, stdin string, args ...string) ([]byte, error) {
	var out bytes.Buffer
	err := p.run(ctx, invocation{args: args, stdin: stdin, out: &out})
	return out.Bytes(), err
}

// run runs the program. It is interrupted when ctx ends.
func (p program) run(ctx context.Context, i invocation) error {
	path := p.path
	if path == "" {
		path = "skiff"
	}
	command := exec.CommandContext(ctx, path, i.args...)
	if errors.Is(command.Err, exec.ErrNotFound) {
		return fmt.Errorf("%w: there is no %q in PATH: install it, or set Config.Program", ErrNotInstalled, path)
	}
	command.Env = append(os.Environ(), p.env...)
	command.Stdin = strings.NewReader(i.stdin)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = grace
	stderr := &tail{}
	command.Stdout, command.Stderr = i.out, stderr
	done := func() {}
	if i.line != nil {
		command.Stdout, done = eachLine(i.line)
	}
	err := command.Run()
	done()
	return failure(ctx, i.args, command, err, stderr)
}

// eachLine returns a writer whose lines are passed to line. done waits for the last one.
func eachLine(line func([]byte)) (w io.Writer, done func()) {
	reader, writer := io.Pipe()
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(reader)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			line(lines.Bytes())
		}
		_, _ = io.Copy(io.Discard, reader) // after a line that is too long
	}()
	return writer, func() {
		_ = writer.Close() // a pipe does not fail
		<-read
	}
}

// failure returns the error of a finished command.
func failure(ctx context.Context, args []string, command *exec.Cmd, err error, stderr *tail) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: %w", ErrNotInstalled, err)
	}
	e := &Error{Args: args, ExitCode: -1, Message: stderr.message(), cause: err}
	if command.ProcessState != nil {
		e.ExitCode = command.ProcessState.ExitCode()
	}
	switch {
	case ctx.Err() != nil:
		e.cause = context.Cause(ctx)
	case e.ExitCode == exitInvalid:
		e.cause = ErrInvalid
	}
	return e
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	t.kept = t.kept[max(0, len(t.kept)-maxMessage):]
	return len(p), nil
}

// message returns the error that skiff printed, in one line: it begins with the last lines
// that name the program.
func (t *tail) message() string {
	text := string(t.kept)
	if i := strings.Index("\n"+text, "\nskiff: "); i >= 0 {
		text = text[i:]
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(strings.TrimPrefix(text, "skiff: "), "\nskiff: ", "; ")), " ")
}
