package template

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skiff-dev/skiff/vm/home"
	"github.com/skiff-dev/skiff/vm/records"
)

// Waste is a template, or what is left of one, that may be removed.
type Waste struct {
	Key   string
	Bytes int64
	// Reason says why in one clause.
	Reason string
}

// Kept describes the templates that stay.
type Kept struct {
	// Images are the digests of the node images that machines can start with; nil if that is
	// not known.
	Images []string
	// Bytes is how much space all templates may take. One may exceed it alone.
	Bytes int64
}

// FindWaste returns what may be removed: first what no cluster can begin with, then the templates
// that were used least recently, until the others fit. What a process is making is none of that.
func FindWaste(h home.Home, kept Kept, now time.Time) ([]Waste, error) {
	keys, err := keys(h)
	if err != nil {
		return nil, err
	}
	var waste []Waste
	var good []Template
	add := func(key, reason string) {
		waste = append(waste, Waste{key, records.Size(string(h.Template(key))), reason})
	}
	for _, key := range keys {
		t, err := Read(h, key)
		switch {
		case errors.Is(err, ErrNone):
			if !h.TemplatesHeld() && !Dir(h, key).Held() && exists(string(h.Template(key))) {
				add(key, "it was never completed")
			}
		case errors.Is(err, ErrDamaged):
			add(key, "it is damaged")
		case err != nil:
			return nil, err
		case t.Expired(now):
			add(key, "it is too old")
		case kept.Images != nil && !slices.Contains(kept.Images, t.Image):
			add(key, "it was made with another node image")
		default:
			good = append(good, t)
		}
	}
	slices.SortFunc(good, func(a, b Template) int { return b.Used.Compare(a.Used) })
	sum := int64(0)
	for i, t := range good {
		if sum += t.Bytes; sum > kept.Bytes && i > 0 {
			waste = append(waste, Waste{t.Key, t.Bytes, "it does not fit beside those that were used later"})
			sum -= t.Bytes
		}
	}
	return waste, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Clear removes what an interrupted process has left where the template of a key is made. The
// caller holds the lock of the templates. The error wraps home.ErrLocked if the daemon of that
// process still runs.
func Clear(h home.Home, key string) error {
	if Dir(h, key).Held() {
		return fmt.Errorf("make the template %s: %w", key, home.ErrLocked)
	}
	if err := os.RemoveAll(string(h.Template(key))); err != nil {
		return fmt.Errorf("make the template %s: %w", key, err)
	}
	return os.MkdirAll(filepath.Dir(string(h.Template(key))), 0o700)
}
