package manifest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func valid() Manifest {
	file := File{Bytes: 1, SHA256: strings.Repeat("a", 64)}
	return Manifest{
		Digest: "sha256:" + strings.Repeat("0", 64), Arch: "arm64", Cmdline: "quiet",
		Files: map[string]File{Kernel: file, Initramfs: file, Root: file},
	}
}

func encode(t testing.TB, change func(*Manifest)) []byte {
	t.Helper()
	m := valid()
	change(&m)
	content, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestValidManifestIsParsed(t *testing.T) {
	if _, err := Parse(encode(t, func(*Manifest) {})); err != nil {
		t.Error(err)
	}
}

func TestInvalidManifestsAreRefused(t *testing.T) {
	for name, content := range map[string][]byte{
		"empty":          nil,
		"a list":         []byte("[]"),
		"an object":      []byte("{}"),
		"a short digest": encode(t, func(m *Manifest) { m.Digest = "sha256:1234" }),
		"SPARC":          encode(t, func(m *Manifest) { m.Arch = "sparc" }),
		"two lines":      encode(t, func(m *Manifest) { m.Cmdline = "a\nb" }),
		"no kernel":      encode(t, func(m *Manifest) { delete(m.Files, Kernel) }),
		"an empty root":  encode(t, func(m *Manifest) { m.Files[Root] = File{SHA256: strings.Repeat("a", 64)} }),
		"no file digest": encode(t, func(m *Manifest) { m.Files[Root] = File{Bytes: 1} }),
	} {
		if m, err := Parse(content); err == nil {
			t.Errorf("%s is parsed as %+v", name, m)
		}
	}
}

func TestTheMinorVersionIsThatOfARelease(t *testing.T) {
	for version, want := range map[string]string{
		"v1.36.3": "1.36", "v1.40.12": "1.40", "": "", "1.36.3": "", "v1.36": "", "v1.36.3-rc.1": "", "v2.0.0": "", "v1.../x": "",
	} {
		if got := (Manifest{Kubernetes: version}).Minor(); got != want {
			t.Errorf("%q: %q, want %q", version, got, want)
		}
	}
}

func TestOnlyMinorVersionsAreMinor(t *testing.T) {
	for version, want := range map[string]bool{"1.36": true, "1.7": true, "": false, "1.36.3": false, "v1.36": false, "2.0": false, "../1.36": false} {
		if got := IsMinor(version); got != want {
			t.Errorf("%q: %t", version, got)
		}
	}
}

func TestMissingManifestIsAnErrorOfItsOwn(t *testing.T) {
	if _, err := Read(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(encode(f, func(*Manifest) {}))
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := Parse(content)
		if err == nil && (m.Files[Kernel].Bytes <= 0 || strings.Contains(m.Cmdline, "\n")) {
			t.Errorf("accepted %+v", m)
		}
	})
}
