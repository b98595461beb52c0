// Package kubeconfig adds a cluster to the user's kubeconfig and removes it again.
// Only the text of the cluster's own entries changes: removing a cluster restores
// the bytes, owner and mode of the file. A file is replaced atomically, and one that
// kubectl could not read is never written to.
package kubeconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/internal/owner"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// BackupSuffix names the copy of the file as it was before the last change.
const BackupSuffix = ".skiff-backup"

// maxFile bounds the size of a kubeconfig in bytes.
const maxFile = 8 << 20

// UserPath returns the file that kubectl writes to: the first file of KUBECONFIG
// that exists, or else its last one; without KUBECONFIG, ~/.kube/config.
func UserPath() (string, error) {
	last := ""
	for _, path := range filepath.SplitList(os.Getenv(clientcmd.RecommendedConfigPathEnvVar)) {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err == nil {
			return filepath.Abs(path)
		}
		last = path
	}
	if last != "" {
		return filepath.Abs(last)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find your kubeconfig: %w", err)
	}
	return filepath.Join(home, clientcmd.RecommendedHomeDir, clientcmd.RecommendedFileName), nil
}

// Context returns the name of a cluster's context, cluster and user.
func Context(name string) string { return "skiff-" + name }

// Merge adds the cluster, user and current context of admin to the file at path and
// makes that context current. The file remembers what it looked like before. A file
// that has all this already is not touched. The error is a *daemonapi.Failure if
// the file cannot be used.
func Merge(ctx context.Context, path string, admin []byte) error {
	addition, err := clientcmd.Load(admin)
	if err != nil {
		return fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	return change(ctx, path, true, func(e *editor, created bool) (bool, error) { return e.merge(addition, created) })
}

// Renew replaces the credentials of a cluster in the file at path, if it has them.
func Renew(ctx context.Context, path string, admin []byte) error {
	addition, err := clientcmd.Load(admin)
	if err != nil {
		return fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	return change(ctx, path, false, func(e *editor, _ bool) (bool, error) { return e.renew(addition) })
}

// Remove removes a context with its cluster and user from the file at path and
// restores what was there before. The context that was current before is current
// again. A file that Merge created is deleted when nothing is left in it. Removing
// what does not exist does nothing.
func Remove(ctx context.Context, path, contextName string) error {
	return change(ctx, path, false, func(e *editor, _ bool) (bool, error) { return e.remove(contextName) })
}

// change edits the file at path under a lock. With create the file may be missing.
func change(ctx context.Context, path string, create bool, edit func(e *editor, created bool) (bool, error)) error {
	path, err := resolve(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !create {
		return nil
	}
	if err := owner.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return unwritable(path, err)
	}
	unlock, err := lock(ctx, path)
	if err != nil {
		return unwritable(path, err)
	}
	defer unlock()

	before, existed, err := read(path)
	if err != nil {
		return err
	}
	e, err := newEditor(before)
	if err != nil {
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("%s is not a kubeconfig: %s", path, oneLine(err)),
			Hint:  "the file was not changed; fix it, or set KUBECONFIG to another file",
		}
	}
	ownFile := e.created()
	changed, err := edit(e, !existed)
	switch {
	case errors.Is(err, errStyle):
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("%s cannot be edited: %s", path, oneLine(err)),
			Hint:  "the file was not changed; rewrite it with `kubectl config view --raw`, or set KUBECONFIG to another file",
		}
	case err != nil || !changed:
		return err
	}
	return unwritable(path, replace(path, before, e.content, ownFile))
}

// created reports whether one of our contexts remembers that Skiff created the file.
func (e *editor) created() bool {
	for name, context := range e.config.Contexts {
		if ours(name) && memoryOf(context).Created {
			return true
		}
	}
	return false
}

// resolve follows symbolic links, also those to files that do not exist yet.
func resolve(path string) (string, error) {
	const most = 40 // as Linux does; see path_resolution(7)
	for range most {
		target, err := os.Readlink(path)
		if err != nil {
			return path, nil // not a link
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return "", &daemonapi.Failure{Cause: fmt.Sprintf("%s: too many levels of symbolic links", path)}
}

func read(path string) (content []byte, exists bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("read the kubeconfig: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		return nil, false, &daemonapi.Failure{
			Cause: fmt.Sprintf("%s is not a kubeconfig: not a regular file of at most %d MiB", path, maxFile>>20),
			Hint:  "set KUBECONFIG to another file",
		}
	}
	if content, err = os.ReadFile(path); err != nil {
		return nil, false, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return content, true, nil
}

// replace stores before as the backup and after in its place. The backup is
// removed with the last of our contexts, and so is a file that Skiff created, if
// it is empty.
func replace(path string, before, after []byte, created bool) error {
	e, err := newEditor(after)
	if err != nil {
		return err
	}
	left := false
	for name := range e.config.Contexts {
		left = left || ours(name)
	}
	if left && len(before) > 0 {
		if err := write(path+BackupSuffix, path, before); err != nil {
			return fmt.Errorf("keep a backup of %s: %w", path, err)
		}
	}
	if !left && created && len(bytes.TrimSpace(after)) == 0 {
		err = os.Remove(path)
	} else {
		err = write(path, path, after)
	}
	if err != nil || left {
		return err
	}
	if err := os.Remove(path + BackupSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
