package saved_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/skiff-dev/skiff/vm/driver/saved"
)

func goOn() error { return nil }

// create creates a file of a size with content at offsets.
func create(t *testing.T, size int64, content map[int64][]byte) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for at, part := range content {
		if _, err := file.WriteAt(part, at); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

func all(t *testing.T, file *os.File) []byte {
	t.Helper()
	content, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestUpdateWritesOnlyThePagesThatDiffer(t *testing.T) {
	const size = 9<<20 + 100 // the last page is not whole
	full := bytes.Repeat([]byte{7}, 3*page)
	source := create(t, size, map[int64][]byte{0: full, 5 << 20: full, size - 50: full[:50]})
	target := create(t, 0, nil)
	if written, err := saved.Update(target, source, goOn); err != nil || written > 8*page || !bytes.Equal(all(t, target), all(t, source)) {
		t.Fatalf("wrote %d bytes, %v", written, err)
	}
	if info, err := target.Stat(); err != nil || saved.Allocated(info) > 1<<20 {
		t.Errorf("the file takes %d bytes, %v", saved.Allocated(info), err)
	}
	if written, err := saved.Update(target, source, goOn); err != nil || written != 0 {
		t.Errorf("wrote %d bytes that it had, %v", written, err)
	}
	if _, err := source.WriteAt([]byte{1}, page+5); err != nil {
		t.Fatal(err)
	}
	if written, err := saved.Update(target, source, goOn); err != nil || written != page || !bytes.Equal(all(t, target), all(t, source)) {
		t.Errorf("wrote %d bytes for one page, %v", written, err)
	}
	// What is a hole now, and a file that has become shorter.
	less := create(t, size-page, map[int64][]byte{5 << 20: full})
	if _, err := saved.Update(target, less, goOn); err != nil || !bytes.Equal(all(t, target), all(t, less)) {
		t.Errorf("a file with less: %v", err)
	}
	empty := create(t, 0, nil)
	if _, err := saved.Update(target, empty, goOn); err != nil || len(all(t, target)) > 0 {
		t.Errorf("an empty file: %v", err)
	}
}

func TestUpdateOfAnyFileMakesItEqual(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	target := create(t, 0, nil)
	for range 30 {
		content := map[int64][]byte{}
		size := random.Int64N(4 << 20)
		for range random.IntN(6) {
			if at := random.Int64N(size + 1); at < size {
				content[at] = bytes.Repeat([]byte{byte(random.IntN(3))}, int(min(random.Int64N(1<<18), size-at)))
			}
		}
		source := create(t, size, content)
		if _, err := saved.Update(target, source, goOn); err != nil || !bytes.Equal(all(t, target), all(t, source)) {
			t.Fatalf("%d bytes: %v", size, err)
		}
		is, err := saved.Sum(target, goOn)
		if err != nil {
			t.Fatal(err)
		}
		if was, err := saved.Copy(create(t, 0, nil), source, goOn); err != nil || was != is {
			t.Fatalf("sums %+v and %+v, %v", was, is, err)
		}
	}
}
