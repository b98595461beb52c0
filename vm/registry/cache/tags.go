package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// maxTags bounds how many tags are remembered. Above it, the oldest are forgotten.
const maxTags = 10_000

// Tag is what a tag meant when another registry was asked for it last.
type Tag struct {
	// Name is REGISTRY/REPOSITORY:TAG.
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	Seen   time.Time     `json:"seen"`
}

func (c *Cache) tagFile(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(c.tagDir(), hex.EncodeToString(sum[:])+".json")
}

// Tag returns the digest that a tag meant last, if the cache still has its manifest.
func (c *Cache) Tag(name string) (digest.Digest, bool) {
	tag, err := readTag(c.tagFile(name))
	if err != nil || tag.Name != name || !c.Has(tag.Digest) {
		return "", false
	}
	return tag.Digest, true
}

// SetTag records what a tag means now.
func (c *Cache) SetTag(name string, d digest.Digest) error {
	if last, err := readTag(c.tagFile(name)); err == nil && last.Name == name && last.Digest == d && time.Since(last.Seen) < touchPeriod {
		return nil
	}
	content, err := json.Marshal(Tag{Name: name, Digest: d, Seen: time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := atomicfile.Write(c.tagFile(name), content, 0o600); err != nil {
		return fmt.Errorf("record the tag %s: %w", name, err)
	}
	return nil
}

// Tags returns the tags whose manifests are in the cache, sorted by name, and
// forgets the others.
func (c *Cache) Tags() ([]Tag, error) {
	entries, err := os.ReadDir(c.tagDir())
	if err != nil {
		return nil, fmt.Errorf("list the cache: %w", err)
	}
	var tags []Tag
	for _, entry := range entries {
		file := filepath.Join(c.tagDir(), entry.Name())
		if filepath.Ext(file) != ".json" {
			continue
		}
		tag, err := readTag(file)
		if err == nil && c.Has(tag.Digest) {
			tags = append(tags, tag)
			continue
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("forget a tag: %w", err)
		}
	}
	slices.SortFunc(tags, func(a, b Tag) int { return b.Seen.Compare(a.Seen) })
	for len(tags) > maxTags {
		_ = os.Remove(c.tagFile(tags[len(tags)-1].Name))
		tags = tags[:len(tags)-1]
	}
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.Name, b.Name) })
	return tags, nil
}

func (c *Cache) clearTags() error {
	if err := os.RemoveAll(c.tagDir()); err != nil {
		return fmt.Errorf("clear the cache: %w", err)
	}
	return os.MkdirAll(c.tagDir(), 0o700)
}

func readTag(file string) (Tag, error) {
	var tag Tag
	content, err := os.ReadFile(file)
	if err != nil {
		return tag, err
	}
	return tag, json.Unmarshal(content, &tag)
}
