package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// memoryVersion is the version of the file that this program writes.
const memoryVersion = 1

// maxMemory bounds the file, in bytes.
const maxMemory = 16 << 20

// memory is what must stay the same after a restart.
type memory struct {
	Version int `json:"version"`
	// Ports are those that listeners got, by ID.
	Ports map[string]choice `json:"ports,omitempty"`
	// Addresses are the loopback addresses of services, by NAMESPACE/NAME.
	Addresses map[string]netip.Addr `json:"addresses,omitempty"`
}

// choice is the port of a listener, and why it is not the wanted one.
type choice struct {
	Port   uint16 `json:"port"`
	Reason string `json:"reason,omitempty"`
	// Taken is set if another program has the wanted port.
	Taken bool `json:"taken,omitempty"`
}

// readMemory reads a file that writeMemory wrote. A missing file is an empty memory.
// A damaged one is an error as well, and listeners may get other ports. The error
// wraps errNewer if a newer skiff wrote the file, which must not be changed.
func readMemory(path string) (memory, error) {
	empty := memory{Version: memoryVersion, Ports: map[string]choice{}, Addresses: map[string]netip.Addr{}}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err == nil && info.Size() > maxMemory {
		err = errors.New("file too large")
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(path)
	}
	if err != nil {
		return empty, fmt.Errorf("read the ports of services: %w", err)
	}
	return parseMemory(content, empty)
}

// errNewer reports a file that a newer version of this program wrote.
var errNewer = errors.New("it was written by a newer skiff")

func parseMemory(content []byte, empty memory) (memory, error) {
	read := memory{Ports: map[string]choice{}, Addresses: map[string]netip.Addr{}}
	if err := json.Unmarshal(content, &read); err != nil {
		return empty, fmt.Errorf("read the ports of services: %w", err)
	}
	if read.Version > memoryVersion {
		return empty, fmt.Errorf("read the ports of services: %w", errNewer)
	}
	read.Version = memoryVersion
	if read.Ports == nil {
		read.Ports = empty.Ports
	}
	if read.Addresses == nil {
		read.Addresses = empty.Addresses
	}
	return read, nil
}

func writeMemory(path string, m memory) error {
	content, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = atomicfile.Write(path, append(content, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the ports of services: %w", err)
	}
	return nil
}

// own returns the addresses by name.
func (m memory) own() map[types.NamespacedName]netip.Addr {
	all := map[types.NamespacedName]netip.Addr{}
	for text, address := range m.Addresses {
		if namespace, name, ok := strings.Cut(text, "/"); ok {
			all[types.NamespacedName{Namespace: namespace, Name: name}] = address
		}
	}
	return all
}

func (m *memory) setOwn(own map[types.NamespacedName]netip.Addr) {
	m.Addresses = map[string]netip.Addr{}
	for name, address := range own {
		m.Addresses[name.String()] = address
	}
}

func (m memory) clone() memory {
	m.Ports, m.Addresses = maps.Clone(m.Ports), maps.Clone(m.Addresses)
	return m
}

func (m memory) equal(other memory) bool {
	return maps.Equal(m.Ports, other.Ports) && maps.Equal(m.Addresses, other.Addresses)
}
