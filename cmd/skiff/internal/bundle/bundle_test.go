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

func TestWhatFailsIsWrittenDownAndTheRestIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	b, err := New(dir)
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
	if got, want := list(t, archive), []string{"logs/a/one.log", "logs/a/two.log", "logs/errors.txt"}; !slices.Equal(got, want) {
		t.Errorf("archive %q, want %q", got, want)
	}
}

func TestBundlesDoNotMix(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir); err == nil {
		t.Error("a directory with files was taken")
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
