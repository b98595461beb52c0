package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/skiff-dev/skiff/kube"
	"github.com/skiff-dev/skiff/kube/object"
)

// errNoTerminal is returned if the input is not a terminal.
var errNoTerminal = errors.New("standard input is not a terminal")

// shellCommand runs bash if the container has it, and sh otherwise.
var shellCommand = []string{"sh", "-c", "command -v bash >/dev/null && exec bash; exec sh"}

// shell connects the user's terminal to a shell in a container.
func (c Client) shell(ctx context.Context, ref object.Ref, container string, in io.Reader, out io.Writer) error {
	return c.connectTerminal(ctx, ref, kube.ExecOptions{Container: container, Command: shellCommand, TTY: true}, false, in, out)
}

// attach connects the user's terminal to the main process of a container, until
// ctrl+] is pressed.
func (c Client) attach(ctx context.Context, ref object.Ref, container string, in io.Reader, out io.Writer) error {
	spec, err := c.Container(ctx, ref, container)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "attached to %s, container %s; press ctrl+] to detach\r\n", ref, spec.Name)
	o := kube.ExecOptions{Container: spec.Name, TTY: spec.TTY, NoStdin: !spec.Stdin}
	if spec.TTY {
		return c.connectTerminal(ctx, ref, o, true, in, out)
	}
	return c.connectLines(ctx, ref, o, in, out)
}

// session is the user's terminal while its input goes to a container.
type session struct {
	*keyboard
	file   *os.File
	detach context.CancelFunc
}

// inRawMode runs do with the terminal in raw mode, until the user detaches.
func inRawMode(ctx context.Context, ref object.Ref, detachable bool, in io.Reader, do func(context.Context, session) error) error {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return fmt.Errorf("%s: %w", ref, errNoTerminal)
	}
	old, err := term.MakeRaw(int(file.Fd()))
	if err != nil {
		return fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	defer func() { _ = term.Restore(int(file.Fd()), old) }()
	ctx, detach := context.WithCancel(ctx)
	defer detach()
	keys, err := newKeyboard(file, detachable, detach)
	if err != nil {
		return err
	}
	defer func() { _ = keys.Close() }()
	err = do(ctx, session{keys, file, detach})
	if ctx.Err() != nil {
		return nil // the user detached
	}
	return err
}

// connectTerminal connects the user's terminal to a container's terminal.
func (c Client) connectTerminal(ctx context.Context, ref object.Ref, o kube.ExecOptions, detachable bool, in io.Reader, out io.Writer) error {
	return inRawMode(ctx, ref, detachable, in, func(ctx context.Context, s session) error {
		sizes := newSizeQueue(int(s.file.Fd()))
		defer sizes.stop()
		return c.Exec(ctx, ref, o, kube.Streams{In: s, Out: s.watch(out), Sizes: sizes})
	})
}

// connectLines connects the user's terminal to a container without one: lines
// are edited here and sent when they are complete.
func (c Client) connectLines(ctx context.Context, ref object.Ref, o kube.ExecOptions, in io.Reader, out io.Writer) error {
	return inRawMode(ctx, ref, true, in, func(ctx context.Context, s session) error {
		editor := term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{s, out}, "")
		lines, write := io.Pipe()
		defer func() { _ = lines.Close() }()
		go func() {
			for {
				line, err := editor.ReadLine()
				if err == nil && !o.NoStdin {
					_, err = io.WriteString(write, line+"\n")
				}
				if err != nil { // ctrl+c, ctrl+d, or the connection ended
					s.detach()
					return
				}
			}
		}()
		return c.Exec(ctx, ref, o, kube.Streams{In: lines, Out: editor, Err: editor})
	})
}
