package api

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// maxIdentity bounds the JSON of an IdentityRequest.
const maxIdentity = nodeconfig.MaxBytes + 1<<10

// identity checks the whole request before it changes anything.
func (s *Server) identity(w http.ResponseWriter, r *http.Request) {
	var request nodeapi.IdentityRequest
	if !decodeUpTo(maxIdentity, w, r, &request) {
		return
	}
	if len(request.Random) < nodeapi.RandomBytes {
		http.Error(w, fmt.Sprintf("%d random bytes are too few", len(request.Random)), http.StatusBadRequest)
		return
	}
	var node nodeconfig.Node
	if len(request.Document) > 0 {
		var err error
		if node, err = nodeconfig.Parse(request.Document); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	if err := s.Random(request.Random); err != nil {
		http.Error(w, fmt.Sprintf("seed the random generator: %v", err), http.StatusInternalServerError)
		return
	}
	if len(request.Document) > 0 {
		if err := s.Identity(node, request.Document); err != nil {
			http.Error(w, fmt.Sprintf("take over the document: %v", err), http.StatusInternalServerError)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// randomDevice mixes what is written to it into the kernel's pool (random(4)).
const randomDevice = "/dev/random"

// SeedRandom adds random bytes to the kernel's pool and seeds its random generator from that
// at once. Programs whose runtime generates random bytes by the vDSO notice.
func SeedRandom(random []byte) error {
	device, err := os.OpenFile(randomDevice, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = device.Write(random)
	if err == nil {
		err = unix.IoctlSetInt(int(device.Fd()), unix.RNDRESEEDCRNG, 0)
	}
	return errors.Join(err, device.Close())
}
