package assembly

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/recipe"
)

func TestClosureListsPackagesOfTheArchitecture(t *testing.T) {
	const out = `nftables
  PreDepends: libc6
  Depends: <libedit2-virtual>
    libedit2
libc6
libc6
debconf
perl-base
<libedit2-virtual>
libgcc-s1:arm64
`
	want := []string{"libc6:arm64", "libgcc-s1:arm64", "nftables:arm64"}
	if got := closure([]byte(out), "arm64"); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestDownloadListIsParsed(t *testing.T) {
	const out = `'http://d/pool/b/busybox-static_1%3a1.35.0-4%2bb1_amd64.deb' busybox-static_1%3a1.35.0-4+b1_amd64.deb 928 SHA256:ab
'http://d/pool/a/a_1_amd64.deb' a_1_amd64.deb 1 SHA256:cd
`
	debs, err := parseURIs([]byte(out))
	want := []manifest.Package{{Name: "a", Version: "1", File: "a_1_amd64.deb", SHA256: "cd"}, {Name: "busybox-static", Version: "1:1.35.0-4+b1", File: "busybox-static_1%3a1.35.0-4+b1_amd64.deb", SHA256: "ab"}}
	if err != nil || !slices.Equal(debs, want) {
		t.Errorf("%+v, %v", debs, err)
	}
	for _, bad := range []string{"x", "'u' a_1_amd64.deb 1 MD5Sum:aa", "'u' name 1 SHA256:aa"} {
		if _, err := parseURIs([]byte(bad)); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
}

func TestAnotherArchitecturesPackagesLeaveThisMachinesAptAlone(t *testing.T) {
	own := apt{arch: runtime.GOARCH, cache: "/cache/debs"}
	if got := own.options(); got != nil {
		t.Errorf("options %q for this machine's architecture", got)
	}
	other := apt{arch: map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH], cache: "/cache/debs"}
	got := strings.Join(other.options(), " ")
	for _, want := range []string{
		"-o APT::Architecture=" + other.arch, "-o Dir::State=/cache/apt-" + other.arch, "-o Dir::Cache=/cache/apt-" + other.arch,
		"-o Dir::State::status=/cache/apt-" + other.arch + "/status",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

func TestPathsMoveBelowUsr(t *testing.T) {
	for name, want := range map[string]string{
		"bin/mount": "usr/bin/mount", "lib/x/y.so": "usr/lib/x/y.so", "lib64/ld.so": "usr/lib64/ld.so",
		"usr/bin/x": "usr/bin/x", "library/x": "library/x", "etc/x": "etc/x",
	} {
		if got := mergeUsr(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for link, want := range map[string]string{"/lib/a.so": "usr/lib/a.so", "../x": "usr/x", "b": "usr/bin/b", "../../../etc/x": "etc/x"} {
		if got := resolveLink("usr/bin/a", link); got != want {
			t.Errorf("usr/bin/a -> %s: %s, want %s", link, got, want)
		}
	}
}

func testModules() moduleTree {
	return moduleTree{
		"llc":         {file: "kernel/net/llc/llc.ko"},
		"stp":         {file: "kernel/net/802/stp.ko", needs: []string{"llc"}},
		"bridge":      {file: "kernel/net/bridge/bridge.ko", needs: []string{"stp", "llc"}, aliases: []string{"rtnl-link-bridge"}},
		"virtio_rng":  {file: "kernel/drivers/char/virtio-rng.ko"},
		"nft_numgen":  {file: "kernel/net/netfilter/nft_numgen.ko", needs: []string{"not_shipped"}},
		"not_matched": {file: "kernel/drivers/gpu/drm.ko"},
	}
}

func TestModulesAreOrderedAndIndexed(t *testing.T) {
	tree := testModules()
	order := tree.order("bridge", "virtio_rng", "built_in", "llc")
	if want := []string{"llc", "stp", "bridge", "virtio_rng"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if got, want := tree.dep([]string{"bridge", "llc"}), "kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko\nkernel/net/llc/llc.ko:\n"; got != want {
		t.Errorf("modules.dep %q, want %q", got, want)
	}
	if got := tree.alias([]string{"bridge", "llc"}); got != "alias rtnl-link-bridge bridge\n" {
		t.Errorf("modules.alias %q", got)
	}
	if got, want := tree.match([]string{"net/*/*", "drivers/char/*"}), []string{"bridge", "llc", "nft_numgen", "stp", "virtio_rng"}; !slices.Equal(got, want) {
		t.Errorf("matched %v, want %v", got, want)
	}
}

func TestModinfoIsParsed(t *testing.T) {
	m := parseModinfo([]byte("license=GPL\x00depends=stp,b-c\x00alias=rtnl-link-x\x00alias=y\x00softdep=pre: z\x00"))
	if !slices.Equal(m.needs, []string{"stp", "b_c"}) || !slices.Equal(m.aliases, []string{"rtnl-link-x", "y"}) {
		t.Errorf("%+v", m)
	}
}

func TestModuleSignatureIsRemoved(t *testing.T) {
	signed := append([]byte("module"), "SIGNATURE"...)
	signed = append(signed, 0, 0, 2, 0, 0, 0, 0, 0)
	signed = binary.BigEndian.AppendUint32(signed, uint32(len("SIGNATURE")))
	signed = append(signed, signatureMark...)
	if got := string(unsigned(signed)); got != "module" {
		t.Errorf("%q remains", got)
	}
	for _, other := range []string{"module", signatureMark, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" + signatureMark} {
		if got := string(unsigned([]byte(other))); got != other {
			t.Errorf("%q became %q", other, got)
		}
	}
}

func FuzzUnsigned(f *testing.F) {
	f.Add([]byte("module" + signatureMark))
	f.Fuzz(func(t *testing.T, module []byte) {
		if !bytes.HasPrefix(module, unsigned(module)) {
			t.Error("the result is not a prefix of the module")
		}
	})
}

// entries parses a newc archive.
func entries(t *testing.T, b []byte) map[string]string {
	t.Helper()
	found := map[string]string{}
	field := func(at int) int {
		var n int
		for _, c := range b[at : at+8] {
			n = n*16 + strings.IndexByte("0123456789ABCDEF", c)
		}
		return n
	}
	for {
		if string(b[:6]) != "070701" {
			t.Fatalf("no header: %q", b[:6])
		}
		size, nameSize := field(6+6*8), field(6+11*8)
		name := string(b[110 : 110+nameSize-1])
		body := (110 + nameSize + 3) / 4 * 4
		if name == "TRAILER!!!" {
			return found
		}
		found[name] = string(b[body : body+size])
		b = b[(body+size+3)/4*4:]
	}
}

func TestInitramfsArchiveCanBeReadBack(t *testing.T) {
	var out bytes.Buffer
	w := &cpioWriter{w: &out}
	w.directory("dev")
	w.character("dev/console", 0o600, 5, 1)
	w.file("init", 0o755, []byte("12345"))
	w.file("modules/order", 0o644, nil)
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	got := entries(t, out.Bytes())
	if len(got) != 4 || got["init"] != "12345" {
		t.Errorf("%q", got)
	}
	full := &cpioWriter{w: failing{}}
	full.file("a", 0, nil)
	if full.close() == nil {
		t.Error("a failed write was lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestPickCopiesTheTargetsOfLinks(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{"usr/sbin/mke2fs": "#!x", "usr/share/ca/a.crt": "a", "usr/share/ca/sub/b.crt": "b"} {
		if err := writeFile(filepath.Join(from, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("mke2fs", filepath.Join(from, "usr/sbin/mkfs.ext4")); err != nil {
		t.Fatal(err)
	}
	p, err := newPicker(from, to)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.pick("sbin/mkfs.ext4"), p.pick("usr/share/ca/")); err != nil {
		t.Fatal(err)
	}
	want := []string{"usr/sbin/mke2fs", "usr/sbin/mkfs.ext4", "usr/share/ca/a.crt", "usr/share/ca/sub/b.crt"}
	if got := p.names(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if err := p.pick("usr/bin/none"); err == nil {
		t.Error("picked a file that no package contains")
	}
}

func TestPickFailsWithoutAProgramsLibraries(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	program, err := os.ReadFile("/bin/ls")
	if err != nil {
		t.Skip("no /bin/ls here")
	}
	if err := writeFile(filepath.Join(from, "usr/bin/ls"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := newPicker(from, to)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.pick("bin/ls"); err == nil {
		t.Error("picked a program whose interpreter and libraries are missing")
	}
}

func TestMissingToolErrorNamesThePackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := run(context.Background(), "", nil, "mkfs.erofs")
	var hint *Hint
	if !errors.As(err, &hint) || !strings.Contains(err.Error(), "apt-get install erofs-utils") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}

func TestOnceFillsADirectoryOnceAndCompletely(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	broken := errors.New("broken")
	if err := once(dir, func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	filled := 0
	for range 2 {
		err := once(dir, func(temporary string) error {
			filled++
			return os.WriteFile(filepath.Join(temporary, "x"), nil, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(dir))
	if filled != 1 || err != nil || len(entries) != 1 {
		t.Errorf("filled %d times, entries %v, %v", filled, entries, err)
	}
}

func TestLockIsKeptUntilAnUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock.json")
	image := recipe.Image{KernelPackage: "k", Packages: []recipe.Package{{Name: "b"}}}
	want := Lock{Requested: []string{"b", "k"}, Packages: []manifest.Package{{Name: "b", Version: "1", File: "b_1.deb", SHA256: "aa"}}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir()) // apt must not be called
	got, err := apt{arch: "amd64"}.lock(t.Context(), path, image, false)
	if err != nil || !slices.Equal(got.Packages, want.Packages) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := (apt{arch: "amd64"}).lock(t.Context(), path, image, true); err == nil {
		t.Error("an update did not call apt")
	}
}

func TestInputsChangeWithEveryProgram(t *testing.T) {
	guest, programs := t.TempDir(), t.TempDir()
	c := Config{Guest: guest, Programs: programs, Recipe: recipe.Image{Arch: runtime.GOARCH, Init: "i", Guest: []recipe.Guest{{Name: "g"}}}}
	if _, err := c.inputs(Lock{}); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("without programs: %v", err)
	}
	seen := map[string]bool{}
	for _, change := range []string{filepath.Join(guest, "i"), filepath.Join(guest, "g"), filepath.Join(programs, "go.mod"), filepath.Join(guest, "g")} {
		for _, name := range []string{"i", "g"} {
			if f, err := os.OpenFile(filepath.Join(guest, name), os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
				f.Close()
			}
		}
		f, err := os.OpenFile(change, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("more"); err != nil {
			t.Fatal(err)
		}
		f.Close()
		key, err := c.inputs(Lock{})
		if err != nil || seen[key] {
			t.Errorf("after changing %s: %q, %v", change, key, err)
		}
		seen[key] = true
	}
	key, err := c.inputs(Lock{})
	if err != nil || !seen[key] {
		t.Errorf("without a change: %q, %v", key, err)
	}
}

func TestPublishedImageIsComplete(t *testing.T) {
	from, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	names := []string{manifest.Kernel, manifest.Initramfs, manifest.Root}
	want := manifest.Manifest{Digest: "sha256:" + strings.Repeat("0", 64), Arch: "amd64", Files: map[string]manifest.File{}}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(from, name), []byte("content"), 0o600); err != nil {
			t.Fatal(err)
		}
		want.Files[name] = manifest.File{Bytes: 7, SHA256: strings.Repeat("1", 64)}
	}
	if err := (Config{Out: out}).publish(from, names, want); err != nil {
		t.Fatal(err)
	}
	got, err := manifest.Read(out)
	if err != nil || got.Digest != want.Digest || !complete(out, got) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.Truncate(filepath.Join(out, manifest.Kernel), 3); err != nil {
		t.Fatal(err)
	}
	if complete(out, got) {
		t.Error("an image with a truncated kernel is complete")
	}
}

func TestArchiveCannotWriteOutsideOfItsDirectory(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	if err := os.MkdirAll(filepath.Join(dir, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(dir, "in"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	content := func() io.Reader { return strings.NewReader("x") }
	if err := extract(content(), &tar.Header{Typeflag: tar.TypeSymlink, Linkname: "../outside"}, root, "usr/link"); err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string]*tar.Header{
		"usr/link/file": {Typeflag: tar.TypeReg, Mode: 0o644},
		"../outside":    {Typeflag: tar.TypeReg, Mode: 0o644},
		"usr/hard":      {Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"},
	} {
		if err := extract(content(), header, root, name); err == nil {
			t.Errorf("%s was extracted", name)
		}
	}
	if _, err := os.Stat(outside); err == nil {
		t.Error("something was written outside")
	}
}
