package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
)

// SharesFiles reports whether the nodes' file systems are part of this host's.
func (f *Fleet) SharesFiles() bool { return f.machines.network.PutFile != nil }

// PutFile writes a file once for several nodes whose file systems are part of this host's.
// name is absolute, and its directory must exist. If content does not have the SHA-256 sum,
// no file is created.
func (f *Fleet) PutFile(ctx context.Context, nodes []string, name, sum string, content io.Reader) error {
	switch {
	case !f.SharesFiles():
		return errors.ErrUnsupported
	case !path.IsAbs(name) || path.Clean(name) != name || name == "/":
		return fmt.Errorf("%q is not a path of a file", name)
	}
	return f.machines.network.PutFile(ctx, nodes, name, sum, content)
}
