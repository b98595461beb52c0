package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// settings are kept between starts, so that names of images stay valid.
type settings struct {
	Port       int   `json:"port"`
	LimitBytes int64 `json:"limitBytes"`
	// Served are all ports that the registry has had, the last one at the end, because the
	// names of images in clusters have them.
	Served []int `json:"served,omitempty"`
}

// at returns the settings of a registry that serves at a port.
func (s settings) at(port int) settings {
	s.Served = append(slices.DeleteFunc(slices.Clone(s.Served), func(had int) bool { return had == port }), port)
	return s
}

// candidates returns the ports to try, in this order: the usual one, those of earlier starts,
// and the next ones.
func (s settings) candidates() []int {
	all := []int{s.Port}
	for _, port := range slices.Backward(s.Served) {
		all = append(all, port)
	}
	for port := s.Port + 1; port <= min(s.Port+tries, math.MaxUint16); port++ {
		all = append(all, port)
	}
	return all
}

func (s settings) equal(other settings) bool {
	return s.Port == other.Port && s.LimitBytes == other.LimitBytes && slices.Equal(s.Served, other.Served)
}

// with returns the settings with what config changes.
func (s settings) with(config Config) settings {
	if config.Port != 0 {
		s.Port = config.Port
	}
	if config.LimitBytes != 0 {
		s.LimitBytes = config.LimitBytes
	}
	return s
}

func readSettings(path string) (settings, error) {
	s := settings{Port: DefaultPort, LimitBytes: DefaultBytes}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read the registry's settings: %w", err)
	}
	if err := json.Unmarshal(content, &s); err != nil || s.Port < 1 || s.Port > 65535 || s.LimitBytes < 1 {
		return s, fmt.Errorf("%s is damaged: delete it to use the defaults again", path)
	}
	if len(s.Served) == 0 { // written by an older version
		s.Served = []int{s.Port}
	}
	return s, nil
}

func writeSettings(path string, s settings) error {
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the registry's settings: %w", err)
	}
	return nil
}
