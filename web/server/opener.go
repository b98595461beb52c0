package server

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// opener is a page that redirects to a link immediately. Only the user can read it, while
// the arguments of the program that opens a link are visible to everybody on the host.
var opener = template.Must(template.New("opener").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={{.}}">
<title>Skiff</title>
<p><a href="{{.}}" rel="noreferrer">Open the dashboard</a>
</html>
`))

// writeOpener writes a page that redirects to a link. The file must not exist.
func writeOpener(path, link string) error {
	if !filepath.IsAbs(path) || filepath.Ext(path) != ".html" {
		return &daemonapi.Failure{Cause: fmt.Sprintf("%q is not the absolute path of a page", path), Invalid: true}
	}
	var content bytes.Buffer
	if err := opener.Execute(&content, link); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return &daemonapi.Failure{Cause: "write the page that opens the dashboard: " + err.Error()}
	}
	_, err = file.Write(content.Bytes())
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
