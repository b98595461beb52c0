package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"
)

const testLimit = 1000

func openCache(t *testing.T, dir string) *Cache {
	t.Helper()
	c, err := Open(Config{Dir: dir, LimitBytes: testLimit, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// of returns a Fetch of a text.
func of(text string) Fetch {
	return func(context.Context) (io.ReadCloser, int64, error) {
		return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
	}
}

func never(context.Context) (io.ReadCloser, int64, error) {
	return nil, 0, errors.New("fetched")
}

// get reads a blob to its end.
func get(t *testing.T, c *Cache, d digest.Digest, fetch Fetch) (string, error) {
	t.Helper()
	content, err := c.Open(t.Context(), d, fetch)
	if err != nil {
		return "", err
	}
	defer content.Close()
	read, err := io.ReadAll(content)
	return string(read), err
}

func TestABlobIsFetchedOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	c := openCache(t, dir)
	text := strings.Repeat("layer", 20)
	d := digest.FromString(text)
	if got, err := get(t, c, d, of(text)); err != nil || got != text {
		t.Fatalf("%q, %v", got, err)
	}
	for _, again := range []*Cache{c, openCache(t, dir)} {
		if got, err := get(t, again, d, never); err != nil || got != text || again.Bytes() != 100 {
			t.Errorf("%q, %v, %d bytes", got, err, again.Bytes())
		}
	}
}

func TestConcurrentReadersShareADownloadAndReadItMeanwhile(t *testing.T) {
	c := openCache(t, t.TempDir())
	text := strings.Repeat("x", 600)
	d := digest.FromString(text)
	var fetches atomic.Int32
	reader, writer := io.Pipe()
	fetch := func(context.Context) (io.ReadCloser, int64, error) {
		fetches.Add(1)
		return reader, int64(len(text)), nil
	}
	first := make(chan struct{}, 3)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			content, err := c.Open(t.Context(), d, fetch)
			if err != nil {
				t.Error(err)
				return
			}
			defer content.Close()
			start := make([]byte, 100)
			if _, err := io.ReadFull(content, start); err != nil {
				t.Error(err)
			}
			first <- struct{}{}
			rest, err := io.ReadAll(content)
			size, seekErr := content.Seek(0, io.SeekEnd)
			if err != nil || seekErr != nil || len(rest) != 500 || size != 600 {
				t.Errorf("%d of %d bytes, %v, %v", len(rest), size, err, seekErr)
			}
		})
	}
	_, _ = io.WriteString(writer, text[:100])
	for range 3 {
		<-first // all have read the start, although the end was not sent
	}
	_, _ = io.WriteString(writer, text[100:])
	_ = writer.Close()
	all.Wait()
	if fetches.Load() != 1 {
		t.Errorf("%d fetches", fetches.Load())
	}
}

func TestContentThatDoesNotMatchIsNotKept(t *testing.T) {
	c := openCache(t, t.TempDir())
	good := digest.FromString("good")
	for name, fetch := range map[string]Fetch{
		"other content": of("evil"),
		"too short":     of("goo"),
		"broken": func(context.Context) (io.ReadCloser, int64, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("go"), iotest.ErrReader(errors.New("reset")))), 4, nil
		},
		"wrong size": func(context.Context) (io.ReadCloser, int64, error) {
			return io.NopCloser(strings.NewReader("good")), 3, nil
		},
		"unknown size": func(context.Context) (io.ReadCloser, int64, error) {
			return io.NopCloser(strings.NewReader("evil")), -1, nil
		},
		"larger than the cache": of(strings.Repeat("x", testLimit+1)),
	} {
		if got, err := get(t, c, good, fetch); err == nil {
			t.Errorf("%s: read %q without an error", name, got)
		}
		if c.Has(good) || c.Bytes() != 0 {
			t.Errorf("%s: kept", name)
		}
	}
	unknown := func(context.Context) (io.ReadCloser, int64, error) {
		return io.NopCloser(strings.NewReader("good")), -1, nil
	}
	if got, err := get(t, c, good, unknown); err != nil || got != "good" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
	entries, err := os.ReadDir(c.incoming())
	if err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestADownloadEndsWithItsLastReader(t *testing.T) {
	c := openCache(t, t.TempDir())
	d := digest.FromString("slow")
	ended := make(chan struct{})
	content, err := c.Open(t.Context(), d, func(ctx context.Context) (io.ReadCloser, int64, error) {
		reader, writer := io.Pipe()
		context.AfterFunc(ctx, func() {
			writer.CloseWithError(ctx.Err())
			close(ended)
		})
		return reader, 4, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	content.Close()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the download continues without readers")
	}
	if got, err := get(t, c, d, of("slow")); err != nil || got != "slow" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestTheOldestIsForgottenFirst(t *testing.T) {
	c := openCache(t, t.TempDir())
	texts := []string{strings.Repeat("a", 400), strings.Repeat("b", 400), strings.Repeat("c", 400)}
	for i, text := range texts {
		if i == 2 {
			time.Sleep(time.Millisecond)
			if _, err := get(t, c, digest.FromString(texts[0]), never); err != nil { // used again
				t.Fatal(err)
			}
		}
		time.Sleep(time.Millisecond)
		if _, err := c.Put([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []bool{true, false, true} {
		if c.Has(digest.FromString(texts[i])) != want {
			t.Errorf("%c: kept %v", texts[i][0], !want)
		}
	}
	if c.Bytes() > testLimit {
		t.Errorf("%d bytes", c.Bytes())
	}
}

func TestWhatAKilledProcessLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	c := openCache(t, dir)
	for _, file := range []string{filepath.Join(c.incoming(), "abc.123"), filepath.Join(c.blobDir(), ".abc.tmp-1")} {
		if err := os.WriteFile(file, bytes.Repeat([]byte("x"), 500), 0o600); err != nil {
			t.Fatal(err)
		}
		c = openCache(t, dir)
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", file, err)
		}
	}
	if c.Bytes() != 0 {
		t.Errorf("%d bytes", c.Bytes())
	}
}

func TestABlobThatSomebodyDeletedIsFetchedAgain(t *testing.T) {
	c := openCache(t, t.TempDir())
	d, err := c.Put([]byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(c.blobFile(d)); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, c, d, of("text")); err != nil || got != "text" || c.Bytes() != 4 {
		t.Errorf("%q, %v, %d bytes", got, err, c.Bytes())
	}
}

func TestOnlySHA256(t *testing.T) {
	c := openCache(t, t.TempDir())
	for _, d := range []digest.Digest{"", "x", "sha256:../../x", digest.Digest("sha512:" + strings.Repeat("a", 128))} {
		if _, err := c.Open(t.Context(), d, never); !errors.Is(err, ErrDigest) {
			t.Errorf("%q: %v", d, err)
		}
	}
}

func TestTagsAreKeptWhileTheirManifestIs(t *testing.T) {
	dir := t.TempDir()
	c := openCache(t, dir)
	d, err := c.Put([]byte("manifest"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"docker.io/library/b:1", "docker.io/library/a:1"} {
		if err := c.SetTag(name, d); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetTag("quay.io/gone:1", digest.FromString("gone")); err != nil {
		t.Fatal(err)
	}
	c = openCache(t, dir)
	tags, err := c.Tags()
	if err != nil || len(tags) != 2 || tags[0].Name != "docker.io/library/a:1" || tags[0].Digest != d {
		t.Errorf("%v, %v", tags, err)
	}
	if got, ok := c.Tag("docker.io/library/b:1"); !ok || got != d {
		t.Errorf("%s, %v", got, ok)
	}
	if _, ok := c.Tag("docker.io/library/c:1"); ok {
		t.Error("an unknown tag is known")
	}
	if freed, err := c.Clear(true); err != nil || freed != 8 || !c.Has(d) {
		t.Errorf("dry run: %d, %v", freed, err)
	}
	if freed, err := c.Clear(false); err != nil || freed != 8 || c.Has(d) {
		t.Errorf("clear: %d, %v", freed, err)
	}
	if tags, err := c.Tags(); err != nil || len(tags) != 0 {
		t.Errorf("after clear: %v, %v", tags, err)
	}
}

func TestListingTagsChangesNothingAndTrimmingForgetsTheOldest(t *testing.T) {
	c := openCache(t, t.TempDir())
	d, err := c.Put([]byte("manifest"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.io/x:1", "a.io/x:2", "a.io/x:3"} {
		if err := c.SetTag(name, d); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := c.SetTag("a.io/gone:1", digest.FromString("gone")); err != nil {
		t.Fatal(err)
	}
	names := func() string {
		tags, err := c.Tags()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tag := range tags {
			names = append(names, tag.Name)
		}
		return strings.Join(names, " ")
	}
	files := func() int {
		files, err := c.tagFiles()
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	if got := names(); got != "a.io/x:1 a.io/x:2 a.io/x:3" || files() != 4 || c.tags != 4 {
		t.Errorf("%s, %d files, counted %d", got, files(), c.tags)
	}
	if err := c.trimTags(2); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "a.io/x:2 a.io/x:3" || files() != 2 || c.tags != 2 {
		t.Errorf("after trimming: %s, %d files, counted %d", got, files(), c.tags)
	}
	if again := openCache(t, c.config.Dir); again.tags != 2 {
		t.Errorf("after a restart: counted %d", again.tags)
	}
}
