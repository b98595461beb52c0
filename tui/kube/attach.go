package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/object"
)

// errNoTerminal: what should hand over its terminal has none.
var errNoTerminal = errors.New("standard input is not a terminal")

// raw makes a terminal hand over every key until restore.
func raw(in io.Reader) (file *os.File, restore func(), err error) {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil, nil, errNoTerminal
	}
	old, err := term.MakeRaw(int(file.Fd()))
	if err != nil {
		return nil, nil, fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	return file, func() { _ = term.Restore(int(file.Fd()), old) }, nil
}

// shell connects our terminal to a shell in a container.
func (c *Client) shell(ctx context.Context, ref object.Ref, container string, in io.Reader, out io.Writer) error {
	return c.connectTerminal(ctx, ref, execOptions{container: container, command: shells, tty: true}, false, in, out)
}

// attach connects our terminal to what a container runs already, until ctrl+].
func (c *Client) attach(ctx context.Context, ref object.Ref, container string, in io.Reader, out io.Writer) error {
	spec, err := c.container(ctx, ref, container)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "attached to %s, container %s; press ctrl+] to detach\r\n", ref, spec.Name)
	o := execOptions{container: spec.Name, tty: spec.TTY, deaf: !spec.Stdin}
	if spec.TTY {
		return c.connectTerminal(ctx, ref, o, true, in, out)
	}
	return c.connectLines(ctx, ref, o, in, out)
}

// container of a pod by its name, the first if that is empty.
func (c *Client) container(ctx context.Context, ref object.Ref, name string) (corev1.Container, error) {
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	pod, err := c.typed.CoreV1().Pods(ref.Namespace).Get(limited, ref.Name, metav1.GetOptions{})
	if err != nil {
		return corev1.Container{}, err
	}
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return name == "" || c.Name == name })
	if i < 0 {
		return corev1.Container{}, fmt.Errorf("%s has no container named %q", ref, name)
	}
	return pod.Spec.Containers[i], nil
}

// typing is our terminal while what is typed goes to a container; leave ends that.
type typing struct {
	*keyboard
	file  *os.File
	leave context.CancelFunc
}

// whileTyping runs do with our terminal in raw mode, until it is left.
func whileTyping(ctx context.Context, ref object.Ref, leavable bool, in io.Reader, do func(context.Context, typing) error) error {
	file, restore, err := raw(in)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	defer restore()
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	keys, err := newKeyboard(file, leavable, leave)
	if err != nil {
		return err
	}
	defer func() { _ = keys.Close() }()
	return unlessLeft(ctx, do(ctx, typing{keys, file, leave}))
}

// connectTerminal connects our terminal to a container's.
func (c *Client) connectTerminal(ctx context.Context, ref object.Ref, o execOptions, leavable bool, in io.Reader, out io.Writer) error {
	return whileTyping(ctx, ref, leavable, in, func(ctx context.Context, typed typing) error {
		sizes := newSizes(int(typed.file.Fd()))
		defer sizes.stop()
		s := streams{in: typed, out: typed.listen(out), sizes: sizes}
		if o.deaf {
			s.in = nil
		}
		return c.stream(ctx, ref, o, s)
	})
}

// connectLines connects our terminal to a container that has none: lines are
// edited here and sent when they are complete.
func (c *Client) connectLines(ctx context.Context, ref object.Ref, o execOptions, in io.Reader, out io.Writer) error {
	return whileTyping(ctx, ref, true, in, func(ctx context.Context, typed typing) error {
		editor := term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{typed, out}, "")
		lines, write := io.Pipe()
		defer func() { _ = lines.Close() }()
		go func() {
			for {
				line, err := editor.ReadLine()
				if err == nil && !o.deaf {
					_, err = io.WriteString(write, line+"\n")
				}
				if err != nil { // ctrl+c, ctrl+d, or all is over
					typed.leave()
					return
				}
			}
		}()
		s := streams{in: lines, out: editor, err: editor}
		if o.deaf {
			s.in = nil
		}
		return c.stream(ctx, ref, o, s)
	})
}

// unlessLeft is err, unless the person has left by a key: that is no failure.
func unlessLeft(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Interactive carries out a task that needs the terminal for itself.
func (c *Client) Interactive(ctx context.Context, task feed.Task, in io.Reader, out io.Writer) error {
	if len(task.Refs) == 0 {
		return fmt.Errorf("%s: no object given", task.Verb)
	}
	switch ref := task.Refs[0]; task.Verb {
	case feed.VerbEdit:
		return c.edit(ctx, ref, in, out)
	case feed.VerbShell:
		return c.shell(ctx, ref, task.Args["container"], in, out)
	case feed.VerbAttach:
		return c.attach(ctx, ref, task.Args["container"], in, out)
	}
	return fmt.Errorf("%q is not an action that uses the terminal", task.Verb)
}
