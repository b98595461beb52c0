package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/nodeagent/boot/disk"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

const (
	devicePoll = 5 * time.Millisecond
	// patience is how long devicePoll applies; slowPoll does after that.
	patience = 10 * time.Second
	slowPoll = 250 * time.Millisecond
	// dataWait is how long the node's own disk may take to appear.
	dataWait = 20 * time.Second
	// remindEvery is how often a node without a document logs that.
	remindEvery = 10 * time.Second
)

// devices are the machine's disks, which their content distinguishes.
type devices struct {
	glob []string
}

func newDevices() *devices {
	return &devices{glob: []string{"/dev/sr[0-9]", "/dev/vd[a-z]"}}
}

func (d *devices) list() []string {
	var all []string
	for _, pattern := range d.glob {
		found, err := filepath.Glob(pattern)
		if err == nil { // only a bad pattern is an error
			all = append(all, found...)
		}
	}
	return all
}

// data returns the disk that has neither the root nor the document.
func (d *devices) data(ctx context.Context) (string, error) {
	for deadline := time.Now().Add(dataWait); ; {
		for _, device := range d.list() {
			if strings.HasPrefix(device, "/dev/sr") {
				continue
			}
			kind, err := disk.Probe(device)
			if err == nil && kind != disk.Erofs && kind != disk.Document {
				return device, nil
			}
		}
		if time.Now().After(deadline) {
			return "", errors.New("the machine has no data disk")
		}
		if err := pause.For(ctx, devicePoll); err != nil {
			return "", err
		}
	}
}

// document reads the node document from whichever disk holds it.
func (d *devices) document() ([]byte, error) {
	for _, device := range d.list() {
		if kind, err := disk.Probe(device); err != nil || kind != disk.Document {
			continue
		}
		f, err := os.Open(device)
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(io.LimitReader(f, nodeconfig.MaxBytes))
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", device, err)
		}
		return raw, nil
	}
	return nil, os.ErrNotExist
}

// waitSeed waits for a valid document, without which there is no node. It loads the
// CD-ROM driver only if no disk has a document, because that takes long.
func (i *Init) waitSeed(ctx context.Context) (*nodeconfig.Node, []byte, error) {
	if _, err := i.found.document(); err != nil && !i.sandboxed {
		if err := i.loadModules("cdrom"); err != nil {
			i.journal.problem(err.Error())
		}
	}
	remind, poll := time.Now().Add(remindEvery), devicePoll
	for hurry := time.Now().Add(patience); ; {
		if time.Now().After(hurry) {
			poll = slowPoll
		}
		raw, err := i.found.document()
		if err == nil {
			var node nodeconfig.Node
			if node, err = nodeconfig.Parse(raw); err == nil {
				return &node, raw, nil
			}
		}
		if time.Now().After(remind) {
			i.journal.say(fmt.Sprintf("no node document on any disk: %v", err))
			remind = time.Now().Add(remindEvery)
		}
		if err := pause.For(ctx, poll); err != nil {
			return nil, nil, err
		}
	}
}
