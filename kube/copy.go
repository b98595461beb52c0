package kube

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
)

// copy copies files between the host and a container with the tar command of
// the container. A path in the container is written ":PATH".
func (c *Client) copy(ctx context.Context, ref object.Ref, task feed.Task, out io.Writer) error {
	args := task.Args
	from, inside := strings.CutPrefix(args["from"], ":")
	to, intoContainer := strings.CutPrefix(args["to"], ":")
	switch {
	case inside == intoContainer:
		return errors.New("exactly one of the two paths must begin with a colon, which marks a path in the container")
	case from == "" || to == "":
		return errors.New("both paths are required")
	case inside:
		return c.download(ctx, ref, args["container"], from, to, out)
	}
	return c.upload(ctx, ref, args["container"], from, to, out)
}

func (c *Client) download(ctx context.Context, ref object.Ref, container, from, to string, out io.Writer) error {
	reader, writer := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		var message outputHead
		err := c.Exec(ctx, ref, ExecOptions{Container: container, Command: []string{"tar", "cf", "-", "-C", path.Dir(from), path.Base(from)}},
			Streams{Out: writer, Err: &message})
		if err != nil {
			err = fmt.Errorf("%w %s", err, message.text())
		}
		_ = writer.CloseWithError(err)
		failed <- err
	}()
	n, err := unpack(reader, to)
	_ = reader.CloseWithError(err)
	if failure := <-failed; failure != nil && !errors.Is(failure, io.ErrClosedPipe) {
		err = errors.Join(failure, err)
	}
	if err == nil {
		fmt.Fprintf(out, "copied %d files from %s:%s to %s\n", n, ref, from, to)
	}
	return err
}

// unpack extracts an archive into a directory. It skips links, and fails on a
// name outside the directory.
func unpack(in io.Reader, to string) (files int, err error) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return 0, err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return 0, err
	}
	defer func() { _ = root.Close() }()
	archive := tar.NewReader(in)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return files, fmt.Errorf("read the archive: %w", err)
		}
		name := filepath.Clean(filepath.FromSlash(strings.TrimPrefix(header.Name, "/")))
		switch header.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = unpackFile(root, name, archive, header.FileInfo().Mode().Perm())
			files++
		}
		if err != nil {
			return files, fmt.Errorf("write %s: %w", name, err)
		}
	}
}

func unpackFile(root *os.Root, name string, content io.Reader, mode fs.FileMode) error {
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	file, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

func (c *Client) upload(ctx context.Context, ref object.Ref, container, from, to string, out io.Writer) error {
	reader, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(writer, from)
		_ = writer.CloseWithError(err)
		packed <- err
	}()
	var message outputHead
	err := c.Exec(ctx, ref, ExecOptions{Container: container, Command: []string{"tar", "xmf", "-", "-C", to}}, Streams{In: reader, Out: &message, Err: &message})
	_ = reader.Close()
	if failure := <-packed; failure != nil && !errors.Is(failure, io.ErrClosedPipe) {
		err = errors.Join(failure, err)
	}
	if err != nil {
		return fmt.Errorf("%w %s", err, message.text())
	}
	fmt.Fprintf(out, "copied %s to %s:%s\n", from, ref, to)
	return nil
}

// pack writes a file or a directory tree as an archive.
func pack(out io.Writer, from string) error {
	archive := tar.NewWriter(out)
	base := filepath.Dir(filepath.Clean(from))
	err := filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			return err
		}
		header, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(base, name)
		if err != nil {
			return err
		}
		header.Name = filepath.ToSlash(relative)
		if err := archive.WriteHeader(header); err != nil || info.IsDir() {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		_, err = io.Copy(archive, file)
		return err
	})
	return errors.Join(err, archive.Close())
}

// outputHead keeps the beginning of what a program writes.
type outputHead struct{ content []byte }

func (l *outputHead) Write(p []byte) (int, error) {
	l.content = append(l.content, p[:min(len(p), max(0, 4096-len(l.content)))]...)
	return len(p), nil
}

func (l *outputHead) text() string { return oneLine(strings.TrimSpace(string(l.content))) }
