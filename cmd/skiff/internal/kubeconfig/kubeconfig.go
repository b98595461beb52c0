// Package kubeconfig puts a cluster into the user's kubeconfig and takes it out
// again, leaving everything else in the file, comments included, as it was. The
// file is replaced in one step or not at all, and a file that kubectl could not
// read is never written to.
package kubeconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/internal/atomicfile"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// BackupSuffix names the copy of the file as it was before the last change.
const BackupSuffix = ".skiff-backup"

// maxFile bounds a kubeconfig in bytes.
const maxFile = 8 << 20

// UserPath is the file that kubectl writes to: the first of KUBECONFIG, else
// ~/.kube/config.
func UserPath() (string, error) {
	for _, path := range filepath.SplitList(os.Getenv(clientcmd.RecommendedConfigPathEnvVar)) {
		if path != "" {
			return filepath.Abs(path)
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find your kubeconfig: %w", err)
	}
	return filepath.Join(home, clientcmd.RecommendedHomeDir, clientcmd.RecommendedFileName), nil
}

// Context is the name of a cluster's context, cluster and user.
func Context(name string) string { return "skiff-" + name }

// Merge puts the cluster, user and context of admin, a kubeconfig whose current
// context is theirs, into the file at path and makes that context current. The
// context that was current before is remembered in the file. A file that has
// all this already is not touched. The error is a *daemonapi.Failure if the
// file cannot be read as a kubeconfig.
func Merge(ctx context.Context, path string, admin []byte) error {
	addition, err := clientcmd.Load(admin)
	if err != nil {
		return fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	return edit(ctx, path, true, func(d *document) (bool, error) { return d.merge(addition) })
}

// Remove takes the context, its cluster and its user out of the file at path.
// If it was current, the context that was current before it is again, or none.
// A file with nothing left in it is removed. Removing what is not there does
// nothing.
func Remove(ctx context.Context, path, contextName string) error {
	return edit(ctx, path, false, func(d *document) (bool, error) { return d.remove(contextName) })
}

// edit changes the file at path under a lock. With create the file may be
// missing.
func edit(ctx context.Context, path string, create bool, change func(*document) (bool, error)) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link stays a link
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !create {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("create the directory of %s: %w", path, err)
	}
	unlock, err := lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()

	before, err := read(path)
	if err != nil {
		return err
	}
	d, err := parse(before)
	if err != nil {
		return &daemonapi.Failure{
			Cause: fmt.Sprintf("%s is not a kubeconfig: %s", path, oneLine(err)),
			Hint:  "the file was not changed; fix it, or set KUBECONFIG to another file",
		}
	}
	changed, err := change(d)
	if err != nil || !changed {
		return err
	}
	after, err := d.bytes()
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if _, err := clientcmd.Load(after); err != nil {
		return fmt.Errorf("change %s: the result would not be a kubeconfig: %w", path, err)
	}
	return replace(path, before, after, d)
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		return nil, &daemonapi.Failure{
			Cause: fmt.Sprintf("%s is not a kubeconfig: not a regular file of at most %d MiB", path, maxFile>>20),
			Hint:  "set KUBECONFIG to another file",
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return content, nil
}

// replace keeps before as the backup and puts after in its place. With nothing
// of ours left the backup goes too, and the file if it is empty.
func replace(path string, before, after []byte, d *document) error {
	ours := d.ours()
	if len(before) > 0 && ours {
		if err := atomicfile.Write(path+BackupSuffix, before, 0o600); err != nil {
			return fmt.Errorf("keep a backup of %s: %w", path, err)
		}
	}
	if d.empty() {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove the empty kubeconfig: %w", err)
		}
	} else if err := atomicfile.Write(path, after, 0o600); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	if !ours {
		if err := os.Remove(path + BackupSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the kubeconfig's backup: %w", err)
		}
	}
	return nil
}

func oneLine(err error) string {
	return string(bytes.Join(bytes.Fields([]byte(err.Error())), []byte(" ")))
}
