package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// files replaces files of the node document. Their paths are checked before
// anything is written.
func (s *Server) files(w http.ResponseWriter, r *http.Request) {
	var request nodeapi.FilesRequest
	if !decode(w, r, &request) {
		return
	}
	for name := range request.Files {
		if !filepath.IsLocal(name) || path.Clean(name) != name || name == "." {
			http.Error(w, fmt.Sprintf("file %q is not a path below the PKI directory", name), http.StatusBadRequest)
			return
		}
	}
	if err := replace(s.PKIDir, request.Files); err != nil {
		http.Error(w, fmt.Sprintf("replace files: %v", err), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// newSuffix marks a file that is to take another's place.
const newSuffix = ".new"

// replace writes all files beside those that they replace and then renames them
// one after another: a certificate and its key differ for as short as can be,
// and none is ever seen in part.
func replace(dir string, files map[string][]byte) (err error) {
	defer func() {
		if err == nil {
			return
		}
		for name := range files {
			if failed := os.Remove(filepath.Join(dir, name+newSuffix)); failed != nil && !errors.Is(failed, fs.ErrNotExist) {
				err = errors.Join(err, failed)
			}
		}
	}()
	for name, content := range files {
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(target+newSuffix, content, 0o600); err != nil {
			return err
		}
	}
	for name := range files {
		target := filepath.Join(dir, name)
		if err := os.Rename(target+newSuffix, target); err != nil {
			return err
		}
	}
	return nil
}
