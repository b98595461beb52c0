package tail

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

func write(t *testing.T, path, content string, flags int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
}

func TestOpenStartsAtTheLastLines(t *testing.T) {
	long := strings.Repeat("x", 50_000)
	for _, c := range []struct {
		content string
		lines   int
		want    string
	}{
		{"", 3, ""},
		{"a\nb\nc\n", 0, "a\nb\nc\n"},
		{"a\nb\nc\n", 1, "c\n"},
		{"a\nb\nc\n", 2, "b\nc\n"},
		{"a\nb\nc\n", 3, "a\nb\nc\n"},
		{"a\nb\nc\n", 9, "a\nb\nc\n"},
		{"a\nb\nunfinished", 1, "unfinished"},
		{"a\n\n\n", 2, "\n\n"},
		{"a\n" + long + "\nb\n", 2, long + "\nb\n"},
	} {
		path := filepath.Join(t.TempDir(), "log")
		write(t, path, c.content, 0)
		r, err := Open(t.Context(), path, c.lines, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != c.want {
			t.Errorf("last %d lines of %.20q: %.40q, %v", c.lines, c.content, got, err)
		}
		_ = r.Close()
	}
}

func TestFollowReadsWhatComesLaterAndANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "one\n", 0)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := Open(ctx, path, 0, true)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		expect := func(want string) {
			t.Helper()
			buf := make([]byte, 64)
			n, err := r.Read(buf)
			if err != nil || string(buf[:n]) != want {
				t.Fatalf("got %q, %v, want %q", buf[:n], err, want)
			}
		}
		expect("one\n")
		write(t, path, "two\n", os.O_APPEND)
		expect("two\n")
		write(t, path, "cut\n", os.O_TRUNC)
		expect("cut\n")
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		write(t, path, "new\n", 0)
		expect("new\n")
		cancel()
		if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %d, %v", n, err)
		}
	})
}
