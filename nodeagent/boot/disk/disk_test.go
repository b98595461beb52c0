package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// head is the beginning of a disk with bytes at an offset.
func head(offset int, text string) []byte {
	b := make([]byte, headSize)
	copy(b[offset:], text)
	return b
}

func TestClassify(t *testing.T) {
	for name, test := range map[string]struct {
		head []byte
		want Kind
	}{
		"zeros":                   {head(0, ""), Blank},
		"nothing":                 {nil, Blank},
		"ext4":                    {head(superblock+56, "\x53\xef"), Ext4},
		"erofs":                   {head(superblock, "\xe2\xe1\xf5\xe0"), Erofs},
		"node document":           {head(0, `{"apiVersion"`), Document},
		"interrupted format":      {head(0, marker), Unfinished},
		"interrupted, superblock": {append([]byte(marker), head(superblock+56, "\x53\xef")[len(marker):]...), Unfinished},
		"partition table":         {head(510, "\x55\xaa"), Foreign},
		"btrfs":                   {head(65600, "_BHRfS_M"), Foreign},
		"one stray byte":          {head(headSize-1, "x"), Foreign},
	} {
		if got := Classify(test.head); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestProbeReadsPastTheFirstPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	for offset, want := range map[int]Kind{0: Foreign, 65600: Foreign} {
		if err := os.WriteFile(path, head(offset, "x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Probe(path); got != want || err != nil {
			t.Errorf("byte at %d: %s, %v, want %s", offset, got, err, want)
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if kind, err := Probe(path); err == nil {
		t.Errorf("an empty disk is %s, want an error", kind)
	}
}

func ext4(blocks uint64, state uint16) []byte {
	b := make([]byte, 1024)
	binary.LittleEndian.PutUint16(b[56:], ext4Magic)
	binary.LittleEndian.PutUint16(b[58:], state)
	binary.LittleEndian.PutUint32(b[4:], uint32(blocks))
	binary.LittleEndian.PutUint32(b[24:], 2)
	binary.LittleEndian.PutUint32(b[96:], incompat64)
	binary.LittleEndian.PutUint32(b[0x150:], uint32(blocks>>32))
	return b
}

func TestSuperblockHasTheSizeAndWhetherToCheck(t *testing.T) {
	for name, test := range map[string]struct {
		block []byte
		want  superblockInfo
	}{
		"clean":         {ext4(1000, 1), superblockInfo{4096000, false}},
		"large":         {ext4(1<<32, 1), superblockInfo{1 << 44, false}},
		"not clean":     {ext4(1, 0), superblockInfo{4096, true}},
		"errors found":  {ext4(1, 3), superblockInfo{4096, true}},
		"orphans, okay": {ext4(1, 5), superblockInfo{4096, false}},
	} {
		if got, err := readSuperblock(test.block); got != test.want || err != nil {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, test.want)
		}
	}
	if _, err := readSuperblock(make([]byte, 1024)); err == nil {
		t.Error("zeros are no superblock")
	}
}

// A runner that remembers what it was asked to run, and what was in the first
// sector of the disk then.
type recorder struct {
	device string
	calls  []string
	sector string
	code   int
}

func (r *recorder) run(_ context.Context, args ...string) (int, string, error) {
	r.calls = append(r.calls, filepath.Base(args[0]))
	content, err := os.ReadFile(r.device)
	r.sector = string(content[:len(marker)])
	return r.code, "said", err
}

func TestADiskIsMarkedWhileItIsFormatted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, headSize), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &recorder{device: path}
	if err := format(t.Context(), r.run, path); err != nil {
		t.Fatal(err)
	}
	if r.sector != marker {
		t.Errorf("during the format the disk began with %q", r.sector)
	}
	if kind, err := Probe(path); kind != Blank || err != nil {
		t.Errorf("after it the disk is %s, %v: the marker must be gone", kind, err)
	}
	r.code = 1
	if err := format(t.Context(), r.run, path); err == nil || !strings.Contains(err.Error(), "said") {
		t.Errorf("a failed format: %v", err)
	}
	if kind, err := Probe(path); kind != Unfinished || err != nil {
		t.Errorf("after a failed format the disk is %s, %v, want unfinished", kind, err)
	}
}

func TestAForeignDiskIsNotTouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	content := head(510, "\x55\xaa")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	r := &recorder{device: path}
	if err := Mount(t.Context(), r.run, path, t.TempDir()); err == nil {
		t.Fatal("it was mounted")
	}
	after, err := os.ReadFile(path)
	if err != nil || !slices.Equal(after, content) || len(r.calls) != 0 {
		t.Errorf("it was changed, or %v run (%v)", r.calls, err)
	}
}

func TestCheckAcceptsARepairedFileSystem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1024), 0o600); err != nil {
		t.Fatal(err)
	}
	for code, ok := range map[int]bool{0: true, 1: true, 3: true, 4: false, 8: false} {
		r := &recorder{device: path, code: code}
		if err := check(t.Context(), r.run, path); (err == nil) != ok {
			t.Errorf("exit code %d: %v", code, err)
		}
	}
	broken := func(context.Context, ...string) (int, string, error) { return 0, "", errors.New("no such program") }
	if err := check(t.Context(), broken, path); err == nil {
		t.Error("a check that did not run passed")
	}
}

func TestTheDiskOfADirectoryIsFound(t *testing.T) {
	const mounts = "tmpfs /run tmpfs rw 0 0\n/dev/vda / erofs ro 0 0\n/dev/vdc /data ext4 rw,noatime 0 0\n/dev/vdc /var ext4 rw 0 0\n"
	if device, err := mountedAt(mounts, "/data"); err != nil || device != "/dev/vdc" {
		t.Errorf("%q, %v", device, err)
	}
	for _, dir := range []string{"/run", "/", "/other", ""} {
		if device, err := mountedAt(mounts, dir); err == nil {
			t.Errorf("%q is on %s", dir, device)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(head(superblock, "\xe2\xe1\xf5\xe0")[:2048])
	f.Add([]byte(marker))
	f.Fuzz(func(t *testing.T, b []byte) {
		blank := strings.Trim(string(b), "\x00") == ""
		if kind := Classify(b); (kind == Blank) != blank {
			t.Errorf("%x is %s", b, kind)
		}
	})
}

func FuzzReadSuperblock(f *testing.F) {
	f.Add(ext4(1000, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if info, err := readSuperblock(b); err == nil && info.bytes < 0 {
			t.Errorf("%d bytes", info.bytes)
		}
	})
}
