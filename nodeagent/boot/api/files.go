package api

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
)

// files replaces files of the node document. It checks all paths before it writes
// anything.
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

// replace writes all files next to those that they replace and then renames them one
// after another, so that a certificate and its key do not match only for a moment,
// and readers never see part of a file.
func replace(dir string, files map[string][]byte) error {
	var ready []*atomicfile.File
	for name, content := range files {
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		f, err := atomicfile.Create(target, 0o600)
		if err != nil {
			return err
		}
		defer f.Discard()
		if _, err := f.Write(content); err != nil {
			return err
		}
		ready = append(ready, f)
	}
	for _, f := range ready {
		if err := f.Commit(); err != nil {
			return err
		}
	}
	return nil
}
