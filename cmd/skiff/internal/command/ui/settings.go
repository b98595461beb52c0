package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/internal/atomicfile"

	tui "github.com/skiff-dev/skiff/tui/app"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/home"
)

const (
	settingsFile = "ui.yaml"
	stateFile    = "ui-state.json"
)

func readSettings(h home.Home) (tui.Settings, error) {
	path := filepath.Join(string(h), settingsFile)
	content, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return tui.Settings{}, fmt.Errorf("read the dashboard settings: %w", err)
	}
	remembered, err := os.ReadFile(filepath.Join(string(h), stateFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		remembered = nil
	}
	settings, err := tui.ParseSettings(content, remembered)
	if err != nil {
		return settings, cli.Invalid("", "%s: %s", path, cli.OneLine(err.Error()))
	}
	return settings, nil
}

// saveState stores what the next start opens first. A failure is ignored: it costs
// the user only the remembered screen.
func saveState(h home.Home, s tui.State) {
	content, err := json.Marshal(s)
	if err != nil {
		return
	}
	if err := os.MkdirAll(string(h), 0o700); err != nil {
		return
	}
	_ = atomicfile.Write(filepath.Join(string(h), stateFile), content, 0o600)
}
