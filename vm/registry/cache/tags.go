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

// tagSuffix is the end of the names of tags' files.
const tagSuffix = ".json"

// Tag is what a tag meant when another registry was asked for it last.
type Tag struct {
	// Name is REGISTRY/REPOSITORY:TAG.
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
	Seen   time.Time     `json:"seen"`
}

func (c *Cache) tagFile(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(c.tagDir(), hex.EncodeToString(sum[:])+tagSuffix)
}

// Tag returns the digest that a tag meant last, if the cache still has its manifest.
func (c *Cache) Tag(name string) (digest.Digest, bool) {
	tag, err := readTag(c.tagFile(name))
	if err != nil || tag.Name != name || !c.Has(tag.Digest) {
		return "", false
	}
	return tag.Digest, true
}

// SetTag records what a tag means. If there are too many tags, the oldest are
// forgotten.
func (c *Cache) SetTag(name string, d digest.Digest) error {
	c.tagging.Lock()
	defer c.tagging.Unlock()
	last, err := readTag(c.tagFile(name))
	if err == nil && last.Name == name && last.Digest == d && time.Since(last.Seen) < touchPeriod {
		return nil
	}
	added := errors.Is(err, fs.ErrNotExist)
	content, err := json.Marshal(Tag{Name: name, Digest: d, Seen: time.Now().UTC()})
	if err != nil {
		return err
	}
	if err := atomicfile.Write(c.tagFile(name), content, 0o600); err != nil {
		return fmt.Errorf("record the tag %s: %w", name, err)
	}
	if added {
		c.tags++
	}
	if c.tags <= maxTags {
		return nil
	}
	return c.trimTags(maxTags - maxTags/10)
}

// Tags returns the tags whose manifests are in the cache, sorted by name.
func (c *Cache) Tags() ([]Tag, error) {
	files, err := c.tagFiles()
	if err != nil {
		return nil, err
	}
	var tags []Tag
	for _, file := range files {
		if tag, err := readTag(file); err == nil && c.Has(tag.Digest) {
			tags = append(tags, tag)
		}
	}
	slices.SortFunc(tags, func(a, b Tag) int { return strings.Compare(a.Name, b.Name) })
	return tags, nil
}

// trimTags forgets the tags whose manifests are not in the cache, and the oldest of
// the others until most are left. The caller holds c.tagging.
func (c *Cache) trimTags(most int) error {
	files, err := c.tagFiles()
	if err != nil {
		return err
	}
	seen := map[string]time.Time{} // by file; zero if the manifest is not in the cache
	for _, file := range files {
		if tag, err := readTag(file); err == nil && c.Has(tag.Digest) {
			seen[file] = tag.Seen
		}
	}
	slices.SortFunc(files, func(a, b string) int { return seen[b].Compare(seen[a]) })
	most = min(most, len(seen))
	for _, file := range files[most:] {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget a tag: %w", err)
		}
	}
	c.tags = most
	return nil
}

// tagFiles returns the files of all tags.
func (c *Cache) tagFiles() ([]string, error) {
	entries, err := os.ReadDir(c.tagDir())
	if err != nil {
		return nil, fmt.Errorf("list the tags in the cache: %w", err)
	}
	var files []string
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) == tagSuffix {
			files = append(files, filepath.Join(c.tagDir(), entry.Name()))
		}
	}
	return files, nil
}

func (c *Cache) clearTags() error {
	c.tagging.Lock()
	defer c.tagging.Unlock()
	if err := os.RemoveAll(c.tagDir()); err != nil {
		return fmt.Errorf("clear the cache: %w", err)
	}
	c.tags = 0
	return os.MkdirAll(c.tagDir(), 0o700)
}

func readTag(file string) (Tag, error) {
	var tag Tag
	content, err := os.ReadFile(file)
	if err != nil {
		return tag, err
	}
	err = json.Unmarshal(content, &tag)
	return tag, err
}
