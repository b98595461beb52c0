package fleet

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/skiff-dev/skiff/controlplane/pki"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// nodeAPICertificate is the certificate that a node presents to the host.
const nodeAPICertificate = "node-api.crt"

// issued knows the serial numbers of the certificates with which the machines that
// this daemon started may authenticate to the host after they have expired.
type issued struct {
	mu      sync.Mutex          // guards serials
	serials map[string][]string // by the machine's address
}

// seeded records the certificate in the document of a machine that starts.
func (i *issued) seeded(address netip.Addr, seed []byte) error {
	var document nodeconfig.Node
	if err := json.Unmarshal(seed, &document); err != nil {
		return fmt.Errorf("read the node document: %w", err)
	}
	i.replaced(address, document.Files)
	return nil
}

// replacing records a certificate that a machine is about to get. If its answer is
// lost the machine may have either.
func (i *issued) replacing(address netip.Addr, files pki.Files) { i.record(address, files, true) }

// replaced records that a machine has a certificate, and forgets all earlier ones.
func (i *issued) replaced(address netip.Addr, files pki.Files) { i.record(address, files, false) }

func (i *issued) record(address netip.Addr, files pki.Files, keep bool) {
	serial := pki.Serial(files[nodeAPICertificate])
	if serial == "" {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.serials == nil {
		i.serials = map[string][]string{}
	}
	if !keep {
		i.serials[address.String()] = nil
	}
	i.serials[address.String()] = append(i.serials[address.String()], serial)
}

// last reports whether a certificate is the last one of the machine at an address.
func (i *issued) last(address string, certificate *x509.Certificate) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Contains(i.serials[address], certificate.SerialNumber.String())
}
