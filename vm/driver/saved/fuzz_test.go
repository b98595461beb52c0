package saved_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/vm/driver/saved"
)

// FuzzRead reads what may have happened to a description on disk.
func FuzzRead(f *testing.F) {
	valid, err := json.Marshal(saved.Manifest{Format: saved.Format, Memory: saved.File{Bytes: 4096}, Devices: saved.File{Bytes: 1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add([]byte(`{"format":1,"memory":{"bytes":-1}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "saved.json"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := saved.Read(dir)
		if err == nil && (m.Format != saved.Format || m.Memory.Bytes <= 0 || m.Devices.Bytes <= 0) {
			t.Errorf("read as %+v", m)
		}
	})
}
