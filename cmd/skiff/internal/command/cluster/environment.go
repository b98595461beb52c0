package cluster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/net/http/httpproxy"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/internal/cabundle"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
)

// environment returns what a cluster takes over from this host: the usual variables
// for proxies, and the authorities in the file bundle, unless that is empty.
func environment(bundle string) (cluster.Environment, error) {
	proxy := httpproxy.FromEnvironment()
	found := cluster.Environment{Proxy: nodeconfig.Proxy{HTTP: proxy.HTTPProxy, HTTPS: proxy.HTTPSProxy, No: proxy.NoProxy}}
	if bundle == "" {
		return found, nil
	}
	content, err := readBundle(bundle)
	if err == nil {
		err = cabundle.Check(content)
	}
	if err != nil {
		return found, cli.Invalid("", "caBundle: %s: %s", bundle, cli.OneLine(err.Error()))
	}
	found.Authorities = string(content)
	return found, nil
}

// readBundle reads a file as far as a bundle may be large.
func readBundle(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, cabundle.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", withoutPath(err))
	}
	return content, nil
}

// withoutPath returns the reason of an error of a file operation.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
