package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/images/manifest/manifesttest"
)

// noLog discards what is reported.
var noLog = io.Discard

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// built writes files like those that a release is made from. The program is a
// script, so that it runs.
func built(t *testing.T, version string) sources { return builtFor(t, version, runtime.GOARCH) }

func builtFor(t *testing.T, version, arch string) sources {
	t.Helper()
	dir := t.TempDir()
	s := sources{
		program: filepath.Join(dir, "skiff"), image: filepath.Join(dir, "image"), man: filepath.Join(dir, "man"),
		completions: filepath.Join(dir, "completions"), documents: dir, bill: filepath.Join(dir, "bill.json"),
	}
	write(t, s.program, "#!/bin/sh\necho skiff "+version+"\n")
	for _, file := range []string{
		"image/sbom.cdx.json", "bill.json", "LICENSE", "README.md", "CHANGELOG.md", "man/skiff.1", "man/skiff-up.1", "man/index",
		"completions/skiff.bash", "completions/_skiff", "completions/skiff.fish",
	} {
		write(t, filepath.Join(dir, file), file)
	}
	if _, err := manifesttest.Write(s.image, arch); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.image, "1.35/sbom.cdx.json"), "sbom")
	if _, err := manifesttest.WriteFor(filepath.Join(s.image, "1.35"), arch, "v1.35.8"); err != nil {
		t.Fatal(err)
	}
	return s
}

func named(version string) name {
	return name{Version: version, OS: runtime.GOOS, Arch: runtime.GOARCH}
}

// published writes a signed release of a version to a new directory.
func published(t *testing.T, version string, sign signer) string {
	t.Helper()
	return publishedFor(t, version, sign, runtime.GOARCH)
}

// publishedFor is published for this machine and for others.
func publishedFor(t *testing.T, version string, sign signer, archs ...string) string {
	t.Helper()
	out := t.TempDir()
	for _, arch := range archs {
		s := builtFor(t, version, arch)
		entries, err := layout(s)
		if err != nil {
			t.Fatal(err)
		}
		p := packer{sources: s, name: name{Version: version, OS: runtime.GOOS, Arch: arch}, out: out, log: noLog}
		base := filepath.Join(out, p.name.base())
		if err := p.archive(t.Context(), base+".tar.gz", entries); err != nil {
			t.Fatal(err)
		}
		if err := p.others(t.Context(), base); err != nil {
			t.Fatal(err)
		}
	}
	sign.version, sign.out, sign.log = version, out, noLog
	if err := sign.run(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestALayoutHasEverythingThatIsInstalled(t *testing.T) {
	entries, err := layout(built(t, "0.2.0"))
	if err != nil {
		t.Fatal(err)
	}
	var paths, packaged []string
	for _, e := range entries {
		paths = append(paths, e.path)
		packaged = append(packaged, debian(e.path))
		if e.executable != (e.path == "bin/skiff") {
			t.Errorf("%s: executable %v", e.path, e.executable)
		}
	}
	want := []string{
		"bin/skiff", "lib/skiff/image/containerd-shim-runsc-v1", "lib/skiff/image/image.json", "lib/skiff/image/initramfs", "lib/skiff/image/kernel",
		"lib/skiff/image/root.erofs", "lib/skiff/image/runsc", "lib/skiff/image/sbom.cdx.json", "lib/skiff/image/skiff-builder", "share/bash-completion/completions/skiff",
		"share/doc/skiff/CHANGELOG.md", "share/doc/skiff/LICENSE", "share/doc/skiff/README.md",
		"share/doc/skiff/sbom.cdx.json", "share/fish/vendor_completions.d/skiff.fish", "share/man/man1/skiff-up.1",
		"share/man/man1/skiff.1", "share/zsh/site-functions/_skiff",
	}
	if !slices.Equal(paths, want) {
		t.Errorf("layout\n%q, want\n%q", paths, want)
	}
	for _, file := range []string{"/usr/bin/skiff", "/usr/share/doc/skiff/copyright", "/usr/share/zsh/vendor-completions/_skiff"} {
		if !slices.Contains(packaged, file) {
			t.Errorf("the package lacks %s", file)
		}
	}
}

func TestALayoutWithoutAnImageFails(t *testing.T) {
	s := built(t, "0.2.0")
	if err := os.Remove(filepath.Join(s.image, "root.erofs")); err != nil {
		t.Fatal(err)
	}
	if _, err := layout(s); err == nil || !strings.Contains(err.Error(), "root.erofs") {
		t.Errorf("error %v", err)
	}
}

func TestImagesOfOtherVersionsAreArchivesOfTheirOwn(t *testing.T) {
	s := built(t, "0.2.0")
	images, err := otherImages(s.image)
	if err != nil || len(images) != 1 || len(images["1.35"]) != 8 || images["1.35"][1].path != "lib/skiff/image/1.35/image.json" {
		t.Errorf("%+v, %v", images, err)
	}
	p := packer{sources: s, name: named("0.2.0"), log: noLog}
	if err := os.Rename(filepath.Join(s.image, "1.35"), filepath.Join(s.image, "1.37")); err != nil {
		t.Fatal(err)
	}
	if err := p.others(t.Context(), filepath.Join(t.TempDir(), "skiff")); err == nil || !strings.Contains(err.Error(), "is a node image of Kubernetes v1.35.8") {
		t.Errorf("an image in the directory of another version: %v", err)
	}
	if err := os.Remove(filepath.Join(s.image, "1.37/kernel")); err != nil {
		t.Fatal(err)
	}
	if _, err := otherImages(s.image); err == nil || !strings.Contains(err.Error(), "1.37/kernel") {
		t.Errorf("an image without a kernel: %v", err)
	}
}

func TestArchivesOfTheSameFilesAreEqual(t *testing.T) {
	entries, err := layout(built(t, "0.2.0"))
	if err != nil {
		t.Fatal(err)
	}
	p := packer{name: named("0.2.0"), time: time.Unix(1_700_000_000, 0).UTC()}
	var contents [2][]byte
	for i := range contents {
		file := filepath.Join(t.TempDir(), "archive")
		if err := p.archive(t.Context(), file, entries); err != nil {
			t.Fatal(err)
		}
		if contents[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(entries[0].source, time.Now(), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(contents[0], contents[1]) {
		t.Error("the archives differ")
	}
	r, err := gzip.NewReader(bytes.NewReader(contents[0]))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if parent := filepath.Dir(filepath.Clean(h.Name)); parent != "." && !seen[parent+"/"] {
			t.Errorf("%s is before its directory", h.Name)
		}
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(p.time) || !strings.HasPrefix(h.Name, p.name.base()+"/") {
			t.Errorf("header %+v", h)
		}
		seen[h.Name] = true
	}
	if !seen[p.name.base()+"/lib/skiff/image/image.json"] {
		t.Errorf("contents %v", seen)
	}
}

func TestAnArchiveThatIsNotCompletedLeavesNothing(t *testing.T) {
	entries, err := layout(built(t, "0.2.0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if err := (packer{name: named("0.2.0")}).archive(ctx, filepath.Join(dir, "archive"), entries); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestThePackageRecommendsWhatVirtualMachinesNeed(t *testing.T) {
	content, err := json.Marshal(debConfig(name{Version: "0.2.0", OS: "linux", Arch: "arm64"}, []entry{
		{path: "bin/skiff", source: "/b/skiff", executable: true}, {path: "lib/skiff/image/kernel", source: "/b/kernel"},
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"version":"0.2.0"`, `"arch":"arm64"`, `"recommends":["qemu-system-arm","qemu-utils","openssh-client"]`,
		`{"src":"/b/skiff","dst":"/usr/bin/skiff","file_info":{"owner":"root","group":"root","mode":493}}`,
		`{"src":"/b/kernel","dst":"/usr/lib/skiff/image/kernel","file_info":{"owner":"root","group":"root","mode":420}}`,
	} {
		if !strings.Contains(string(content), want) {
			t.Errorf("no %s in %s", want, content)
		}
	}
}

func TestProgramAndImageMustBeOfThePlatform(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := packer{sources: built(t, "0.2.0"), name: named("0.2.0"), log: noLog}
	p.program = self
	bill, err := p.describe()
	if err != nil || !strings.Contains(string(bill), "klauspost/compress") {
		t.Errorf("bill of materials %s, %v", bill, err)
	}
	p.name.OS = "plan9"
	if _, err := p.describe(); err == nil || !strings.Contains(err.Error(), "want plan9/") {
		t.Errorf("another program: %v", err)
	}
	p.name = named("0.2.0")
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	if _, err := manifesttest.Write(p.image, other); err != nil {
		t.Fatal(err)
	}
	if _, err := p.describe(); err == nil || !strings.Contains(err.Error(), "node image for "+other) {
		t.Errorf("another image: %v", err)
	}
}

// privatePEM returns a new key as one of the two formats that OpenSSL writes.
func privatePEM(t *testing.T, curve elliptic.Curve, sec1 bool) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.Block{Type: "PRIVATE KEY"}
	if sec1 {
		block.Type = "EC PRIVATE KEY"
		block.Bytes, err = x509.MarshalECPrivateKey(key)
	} else {
		block.Bytes, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&block))
}

func TestKeysComeFromTheEnvironmentOrAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write(t, file, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"+privatePEM(t, elliptic.P256(), true))
	encrypted := "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
	for what, c := range map[string]struct {
		env  map[string]string
		want string // part of the error
	}{
		"variable":     {env: map[string]string{keyVariable: privatePEM(t, elliptic.P256(), false)}},
		"file":         {env: map[string]string{keyFileVariable: file}},
		"none":         {want: keyFileVariable},
		"missing file": {env: map[string]string{keyFileVariable: file + ".none"}, want: "no such file"},
		"other curve":  {env: map[string]string{keyVariable: privatePEM(t, elliptic.P384(), false)}, want: "P-256"},
		"encrypted":    {env: map[string]string{keyVariable: encrypted}, want: "unencrypted"},
		"text":         {env: map[string]string{keyVariable: "secret"}, want: "PEM"},
	} {
		_, err := signer{environment: func(name string) string { return c.env[name] }}.key()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", what, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error quotes the key: %v", what, err)
		}
	}
}

func TestOnlyFilesOfOneVersionAreSigned(t *testing.T) {
	out := published(t, "0.2.0", signer{snapshot: true})
	sums, err := os.ReadFile(filepath.Join(out, checksumsName))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for line := range strings.Lines(string(sums)) {
		files = append(files, strings.Fields(line)[1])
	}
	base := named("0.2.0").base()
	if want := []string{"install.sh", base + ".tar.gz", base + "_kubernetes-1.35.tar.gz"}; !slices.Equal(files, want) {
		t.Errorf("checksums of %q, want %q", files, want)
	}
	again := signer{version: "0.2.0", out: out, snapshot: true, log: noLog}
	if err := again.run(); err != nil {
		t.Errorf("signing once more: %v", err)
	}
	write(t, filepath.Join(out, "skiff_0.1.0_linux_amd64.deb"), "")
	if err := again.run(); err == nil || !strings.Contains(err.Error(), "not part of version 0.2.0") {
		t.Errorf("a file of another version: %v", err)
	}
	again.out = t.TempDir()
	if err := again.run(); err == nil || !strings.Contains(err.Error(), "no archive") {
		t.Errorf("an empty directory: %v", err)
	}
}

func TestAnyOpenSSLVerifiesTheSignature(t *testing.T) {
	out := published(t, "0.2.0", signer{snapshot: true})
	verify := exec.CommandContext(t.Context(), "sh", "-euc", "openssl base64 -d -A -in checksums.txt.sig -out sig\n"+
		"openssl dgst -sha256 -verify skiff.pub -signature sig checksums.txt && sha256sum --check --strict --quiet checksums.txt")
	verify.Dir = out
	if text, err := verify.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestCommandLinesAreChecked(t *testing.T) {
	for _, args := range [][]string{
		{}, {"publish"}, {"sign", "-version", "v1.0.0"}, {"sign", "-out", "x", "-version", "1.0"}, {"sign", "-out", "x", "-version", "v1.0.0/../x"},
		{"pack", "-nonsense"}, {"sign", "-out", "x", "-version", "v1.0.0", "more"},
	} {
		var stderr bytes.Buffer
		if err := run(t.Context(), args, io.Discard, &stderr); !errors.Is(err, errUsage) || stderr.Len() == 0 {
			t.Errorf("%q: %v, %q", args, err, stderr.String())
		}
	}
}
