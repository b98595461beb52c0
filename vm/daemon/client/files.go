package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// SharesFiles reports whether the nodes' file systems are part of this host's, as PutFile
// requires.
func (c *Client) SharesFiles(ctx context.Context) bool {
	response, err := c.do(ctx, http.MethodGet, daemonapi.PathFiles, nil)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil
}

// PutFile writes a file once for several nodes. name is absolute, and its directory must
// exist. If content does not have the SHA-256 sum, no file is created.
func (c *Client) PutFile(ctx context.Context, nodes []string, name, sum string, content io.Reader) error {
	query := url.Values{"node": nodes, "name": {name}, "sum": {sum}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, daemonURL+daemonapi.PathFiles+"?"+query.Encode(), content)
	if err != nil {
		return err
	}
	response, err := c.send(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	return nil
}
