package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// settings are kept between starts, so that names of images stay valid.
type settings struct {
	Port       int   `json:"port"`
	LimitBytes int64 `json:"limitBytes"`
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
