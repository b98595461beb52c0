package bundle

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFailuresAreRecordedAndTheRestIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	b, err := New(dir, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, failed := io.WriteString(w, text)
			return errors.Join(failed, err)
		}
	}
	b.Add("a/one.log", say("one", nil))
	b.Add("a/two.log", say("half", errors.New("then\nbroken")))
	b.Add("three.log", say("", errors.New("absent")))
	b.Add("../four.log", say("four", nil))
	archive, failed, err := b.Finish()
	if err != nil || failed != 3 {
		t.Fatalf("%d failed, %v", failed, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, errorsFile))
	want := "../four.log: the name points outside the bundle\na/two.log: then broken\nthree.log: absent\n"
	if err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	if got, want := list(t, archive), []string{"logs/a/one.log", "logs/a/two.log", "logs/contents.txt", "logs/errors.txt"}; !slices.Equal(got, want) {
		t.Errorf("archive %q, want %q", got, want)
	}
}

func TestADirectoryWithFilesIsRejected(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir, DefaultLimits()); err == nil {
		t.Error("a directory with files was taken")
	}
}

func TestBundlesAreBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	b, err := New(dir, Limits{File: 1 << 20, Bundle: 3 << 19})
	if err != nil {
		t.Fatal(err)
	}
	endless := func(w io.Writer) error {
		for {
			if _, err := w.Write(make([]byte, 1000)); err != nil {
				return err
			}
		}
	}
	b.Add("one", endless)
	b.Add("two", endless)
	_, failed, err := b.Finish()
	if err != nil || failed != 2 {
		t.Errorf("%d failed, %v", failed, err)
	}
	contents, err := os.ReadFile(filepath.Join(dir, contentsFile))
	if want := "          67 errors.txt\n     1048576 one\n      524288 two\n"; err != nil || string(contents) != want {
		t.Errorf("%q, %v", contents, err)
	}
}

func TestAnExistingArchiveIsNotReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.WriteFile(dir+".tar.gz", []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir, DefaultLimits()); err == nil {
		t.Error("no error")
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "logs")
	b, err := New(dir, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	b.Add("link", func(w io.Writer) error { _, err := w.Write([]byte("x")); return err })
	archive, _, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, archive); slices.Contains(got, "logs/link") {
		t.Errorf("archive %q", got)
	}
	if content, err := os.ReadFile(outside); string(content) != "secret" {
		t.Errorf("%q, %v", content, err)
	}
}

func list(t *testing.T, archive string) (names []string) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(zipped); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
}
