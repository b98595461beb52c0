package lima

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/vm/driver/process"
)

// QEMU creates the file before it writes to it.
func TestAMachineRunsOnceItsProcessIDIsKnown(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	synctest.Test(t, func(t *testing.T) {
		life, stop := context.WithCancel(t.Context())
		p := process.Follow(stop, func() error {
			<-life.Done()
			return nil
		})
		go func() {
			time.Sleep(time.Second)
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			if err := os.WriteFile(file, []byte("123\n"), 0o600); err != nil {
				t.Error(err)
			}
		}()
		began := time.Now()
		if err := awaitRunning(t.Context(), p, file); err != nil || time.Since(began) < 2*time.Second {
			t.Errorf("it runs after %s, %v", time.Since(began), err)
		}
		stop()
		<-p.Done()
	})
}
