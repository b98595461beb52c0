package boot

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// An input event is a timestamp of two longs, two uint16 and an int32
// (linux/input.h); both architectures have 64-bit longs.
const (
	eventSize = 24
	eventKey  = 1
	keyPower  = 116
	pressed   = 1
	// buttonWait is how long the button's device may take to appear.
	buttonWait = 10 * time.Second
)

// watchButton powers the machine off when its power button is pressed. The host
// presses it if the node API does not answer.
func (i *Init) watchButton() error {
	for deadline := time.Now().Add(buttonWait); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		names, err := filepath.Glob("/sys/class/input/event*/device/name")
		if err != nil {
			return err
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil || !isPowerButton(string(text)) {
				continue
			}
			event := filepath.Base(filepath.Dir(filepath.Dir(name)))
			return i.readButton(filepath.Join("/dev/input", event))
		}
	}
	return nil // the machine has none
}

func isPowerButton(name string) bool {
	name = strings.TrimSpace(name)
	return name == "Power Button" || name == "gpio-keys"
}

func (i *Init) readButton(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	event := make([]byte, eventSize)
	for {
		if _, err := io.ReadFull(f, event); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if powerPressed(event) {
			i.journal.say("power button pressed")
			return unix.Kill(os.Getpid(), unix.SIGUSR2)
		}
	}
}

func powerPressed(event []byte) bool {
	return binary.NativeEndian.Uint16(event[16:]) == eventKey &&
		binary.NativeEndian.Uint16(event[18:]) == keyPower &&
		binary.NativeEndian.Uint32(event[20:]) == pressed
}
