package kubeconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/skiff-dev/skiff/internal/atomicfile"

	"github.com/skiff-dev/skiff/vm/home"
)

// MergeCluster merges a cluster's kubeconfig, content, into the file at path, or
// into the user's if path is empty, and records that in the cluster's directory. It
// returns the path of the file.
func MergeCluster(ctx context.Context, dir home.Cluster, path string, content []byte) (string, error) {
	var err error
	if path == "" {
		path, err = UserPath()
	} else {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", err
	}
	// Recorded cli.First, so that down finds it whatever happens in between.
	if err := record(dir, path); err != nil {
		return "", err
	}
	return path, Merge(ctx, path, content)
}

// recordFile, in a cluster's directory, lists the kubeconfigs it was merged into.
const recordFile = "kubeconfigs.json"

// RenewRecorded replaces the cluster's credentials in all files that they were merged into.
func RenewRecorded(ctx context.Context, dir home.Cluster, content []byte) error {
	paths, err := Recorded(dir)
	for _, path := range paths {
		if failed := Renew(ctx, path, content); failed != nil && !errors.Is(failed, os.ErrNotExist) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// Recorded returns the kubeconfigs that a cluster was merged into.
func Recorded(dir home.Cluster) ([]string, error) {
	content, err := os.ReadFile(filepath.Join(string(dir), recordFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of merged kubeconfigs: %w", err)
	}
	var paths []string
	if err := json.Unmarshal(content, &paths); err != nil {
		return nil, fmt.Errorf("read %s: %w", recordFile, err)
	}
	return paths, nil
}

func record(dir home.Cluster, path string) error {
	paths, err := Recorded(dir)
	if err != nil || slices.Contains(paths, path) {
		return err
	}
	content, err := json.Marshal(append(paths, path))
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(string(dir), recordFile), content, 0o600); err != nil {
		return fmt.Errorf("record the merged kubeconfig: %w", err)
	}
	return nil
}
