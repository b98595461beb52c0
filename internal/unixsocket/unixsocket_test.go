package unixsocket_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/internal/unixsocket"
)

func TestListenReplacesASocketAndLetsOnlyTheUserConnect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 2 { // as after a crash: nobody removes the socket
		listener, err := unixsocket.Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("mode %v", info.Mode())
		}
	}
}

func TestListenReportsADirectoryThatDoesNotExist(t *testing.T) {
	if _, err := unixsocket.Listen(filepath.Join(t.TempDir(), "absent", "s")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
