package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/theme"
)

// Settings are the user's settings, from ui.yaml, and the state of the last run.
type Settings struct {
	Theme    string
	ReadOnly bool
	Keys     keys.Map
	// Aliases are alternative names of commands: "dp" for "deployments".
	Aliases map[string]string
	// Remembered is the state of the last run.
	Remembered State
}

// maxSettings bounds the settings file in bytes.
const maxSettings = 64 << 10

// settingsFile is the content of ui.yaml.
type settingsFile struct {
	Theme    string            `yaml:"theme"`
	ReadOnly bool              `yaml:"readOnly"`
	Keys     map[string]string `yaml:"keys"`
	Aliases  map[string]string `yaml:"aliases"`
}

// ParseSettings reads ui.yaml and the state of the last run; either may be
// empty. A state that cannot be parsed is ignored.
func ParseSettings(content, remembered []byte) (Settings, error) {
	s := Settings{Keys: keys.Default(), Aliases: kind.Aliases()}
	if len(content) > maxSettings {
		return s, fmt.Errorf("file is larger than %d KiB", maxSettings>>10)
	}
	var file settingsFile
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return s, err
	}
	if file.Theme != "" && theme.Named(file.Theme) == nil {
		return s, noTheme(file.Theme)
	}
	s.Theme, s.ReadOnly = file.Theme, file.ReadOnly
	maps.Copy(s.Aliases, file.Aliases)
	var err error
	if s.Keys, err = s.Keys.Rebind(file.Keys); err != nil {
		return s, err
	}
	var state State
	if len(remembered) <= maxSettings && json.Unmarshal(remembered, &state) == nil {
		s.Remembered = state
	}
	return s, nil
}

func noTheme(name string) error {
	return fmt.Errorf("no theme named %q: choose one of %s", name, strings.Join(theme.Names(), ", "))
}

// theme returns the theme to use: NO_COLOR comes first, then the file, then the
// state of the last run.
func (s Settings) theme() *theme.Theme {
	if noColor() {
		return theme.Named("none")
	}
	for _, name := range []string{s.Theme, s.Remembered.Theme} {
		if t := theme.Named(name); t != nil {
			return t
		}
	}
	return theme.Named(theme.Default)
}

// noColor reports whether the user disabled colors (https://no-color.org).
func noColor() bool { return os.Getenv("NO_COLOR") != "" }
