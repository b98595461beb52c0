package terminal

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/muesli/cancelreader"
	"golang.org/x/term"
)

func TestAClosedKeyboardConsumesNoKey(t *testing.T) {
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Skipf("cannot open a pseudo-terminal: %v", err)
	}
	defer func() { _, _ = ours.Close(), theirs.Close() }()
	if _, err := term.MakeRaw(int(theirs.Fd())); err != nil {
		t.Fatal(err)
	}
	for round := range 50 {
		k, err := Open(theirs)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := k.Read(make([]byte, 8))
			ended <- err
		}()
		if round%2 == 0 {
			time.Sleep(time.Millisecond) // let Read block in the kernel
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, cancelreader.ErrCanceled) {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if _, err := ours.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 1)
	if _, err := io.ReadFull(theirs, key); err != nil || key[0] != 'x' {
		t.Errorf("got %q, %v", key, err)
	}
}
