package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/jsonhttp"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// sent is a program that the host sends: the file NAME-DIGEST in dir, to which the link NAME
// leads.
type sent struct{ dir, name string }

func (p sent) link() string { return filepath.Join(p.dir, p.name) }

// digest returns the digest of the installed program, "" if there is none.
func (p sent) digest() string {
	have, err := os.Readlink(p.link())
	if err != nil {
		return ""
	}
	digest, _ := strings.CutPrefix(have, p.fileName(""))
	return digest
}

// has reports whether the program with a digest is installed.
func (p sent) has(digest string) bool { return p.digest() == digest }

func (p sent) fileName(digest string) string { return p.name + "-" + digest }

// digestOf returns the digest of a request. If it is none, digestOf answers with the
// error and returns "".
func digestOf(w http.ResponseWriter, r *http.Request) string {
	digest := r.URL.Query().Get("sha256")
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != sha256.Size || digest != strings.ToLower(digest) {
		http.Error(w, fmt.Sprintf("invalid digest %q: want 64 hexadecimal digits", digest), http.StatusBadRequest)
		return ""
	}
	return digest
}

// install writes the program if it has the digest, and removes all others.
func (p sent) install(digest string, content io.Reader) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	file, err := atomicfile.Create(filepath.Join(p.dir, p.fileName(digest)), 0o700)
	if err != nil {
		return err
	}
	defer file.Discard()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(file, sum), content); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != digest {
		return fmt.Errorf("the program has the SHA-256 sum %s, want %s", got, digest)
	}
	if err := file.Commit(); err != nil {
		return err
	}
	temporary := p.link() + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(p.fileName(digest), temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, p.link()); err != nil {
		return err
	}
	return p.removeOthers(digest)
}

func (p sent) removeOthers(digest string) error {
	files, err := filepath.Glob(filepath.Join(p.dir, p.name+"-*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if filepath.Base(file) != p.fileName(digest) {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// unmounted answers with an error if the node's own disk is not mounted yet.
func (s *Server) unmounted(w http.ResponseWriter) bool {
	if s.Mounted() {
		return false
	}
	http.Error(w, "the node's disk is not mounted yet", http.StatusServiceUnavailable)
	return true
}

// programs answers the digests of the installed programs of container runtimes.
func (s *Server) programs(w http.ResponseWriter, _ *http.Request) {
	if s.unmounted(w) {
		return
	}
	digests := map[string]string{}
	for _, runtime := range nodeconfig.Runtimes() {
		for _, name := range runtime.Programs {
			if digest := (sent{s.RuntimesDir, name}).digest(); digest != "" {
				digests[name] = digest
			}
		}
	}
	jsonhttp.Write(w, digests)
}

// putProgram installs a program of a container runtime. Containers that run keep the one
// that they were started with.
func (s *Server) putProgram(w http.ResponseWriter, r *http.Request) {
	p, digest := sent{s.RuntimesDir, r.PathValue("name")}, digestOf(w, r)
	if digest == "" || s.unmounted(w) {
		return
	}
	if !nodeconfig.IsRuntimeProgram(p.name) {
		http.Error(w, fmt.Sprintf("no container runtime has a program %q", p.name), http.StatusNotFound)
		return
	}
	s.installing.Lock()
	defer s.installing.Unlock()
	if err := p.install(digest, http.MaxBytesReader(w, r.Body, nodeapi.MaxProgramBytes)); err != nil {
		http.Error(w, fmt.Sprintf("install %s: %v", p.name, err), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
