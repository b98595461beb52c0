package reload_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skiff-dev/skiff/controlplane/reload"
)

func number(contents [][]byte) (int, error) { return strconv.Atoi(string(contents[0])) }

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "number")
	write(t, path, content)
	return path
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenFailsWithoutAValue(t *testing.T) {
	if _, err := reload.Open(number, file(t, "none")); err == nil {
		t.Error("a value of an invalid file")
	}
	if _, err := reload.Open(number, filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

func TestAValueFollowsItsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := file(t, "1")
		v, err := reload.Open(number, path)
		if err != nil {
			t.Fatal(err)
		}
		changes := 0
		ctx, cancel := context.WithCancel(t.Context())
		go v.Run(ctx, func() { changes++ })
		for _, step := range []struct {
			content       string
			want, changes int
		}{{"1", 1, 0}, {"2", 2, 1}, {"partly written", 2, 1}, {"3", 3, 2}} {
			write(t, path, step.content)
			time.Sleep(reload.Period + time.Millisecond)
			synctest.Wait()
			if v.Get() != step.want || changes != step.changes {
				t.Errorf("%q: %d after %d changes", step.content, v.Get(), changes)
			}
		}
		cancel()
	})
}

func TestAPartIsStartedAgainWithEachValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := file(t, "1")
		v, err := reload.Open(number, path)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var ran []int
		running := 0
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- v.Restarting(ctx, func(ctx context.Context, n int) error {
				mu.Lock()
				running++
				ran = append(ran, n)
				if running > 1 {
					t.Error("two parts run")
				}
				mu.Unlock()
				<-ctx.Done()
				mu.Lock()
				running--
				mu.Unlock()
				return nil
			})
		}()
		time.Sleep(3 * reload.Period)
		write(t, path, "2")
		time.Sleep(3 * reload.Period)
		cancel()
		if err := <-ended; err != nil || len(ran) != 2 || ran[1] != 2 || running != 0 {
			t.Errorf("ran with %v, %v", ran, err)
		}
	})
}

func TestAnErrorOfThePartEndsIt(t *testing.T) {
	v, err := reload.Open(number, file(t, "1"))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := v.Restarting(t.Context(), func(context.Context, int) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
