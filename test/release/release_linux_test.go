package release

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// published is a release for this machine.
type published struct {
	dir string
	// version is without a leading v, base what its files are called.
	version, base string
}

func release(t *testing.T) published {
	t.Helper()
	dir := os.Getenv("SKIFF_RELEASE")
	if dir == "" || os.Geteuid() != 0 {
		t.Skip("needs root and SKIFF_RELEASE: run `scripts/test.sh release`")
	}
	suffix := fmt.Sprintf("_linux_%s.tar.gz", runtime.GOARCH)
	archives, err := filepath.Glob(filepath.Join(dir, "skiff_*"+suffix))
	if err != nil || len(archives) != 1 {
		t.Fatalf("%s has the archives %q, want one, %v", dir, archives, err)
	}
	base := strings.TrimSuffix(filepath.Base(archives[0]), ".tar.gz")
	version := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(archives[0]), suffix), "skiff_")
	return published{dir, version, base}
}

// offer puts links to the files of the release into the room's /tmp/release, for the
// installer's --from. Tests replace some of them.
func (p published) offer(t *testing.T, r room, names ...string) {
	t.Helper()
	if err := os.MkdirAll(r.path("tmp/release"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		r.copy(t, filepath.Join(p.dir, name), filepath.Join("tmp/release", name))
	}
}

func (p published) all() []string {
	return []string{"install.sh", "checksums.txt", "checksums.txt.sig", p.base + ".tar.gz"}
}

// TestAnOrdinaryUserInstallsByDownload downloads with what the machine has.
func TestAnOrdinaryUserInstallsByDownload(t *testing.T) {
	p := release(t)
	for _, downloader := range []string{"curl", "wget"} {
		t.Run(downloader, func(t *testing.T) {
			if _, err := exec.LookPath(downloader); err != nil {
				t.Skip(err)
			}
			r := newRoom(t, append([]string{downloader}, basics...)...)
			p.offer(t, r, "install.sh")
			server := httptest.NewServer(http.FileServer(http.Dir(p.dir)))
			defer server.Close()
			out := r.ok(t, ordinary, "sh", "/tmp/release/install.sh", "--from", server.URL)
			if !strings.Contains(out, "/home/user/.local/bin/skiff") {
				t.Errorf("output %q", out)
			}
			version := r.ok(t, ordinary, "/home/user/.local/bin/skiff", "version")
			if !strings.Contains(version, "v"+p.version) || strings.Contains(version, "none") {
				t.Errorf("version\n%s", version)
			}
			for _, file := range []string{"share/man/man1/skiff-up.1", "share/bash-completion/completions/skiff"} {
				if out := r.ok(t, ordinary, "cat", "/home/user/.local/"+file); !strings.Contains(out, "skiff") {
					t.Errorf("%s is empty", file)
				}
			}
			info, err := os.Stat(r.path("home/user/.local/bin"))
			if err != nil || info.Mode().Perm()&0o022 != 0 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestAnInstalledReleaseRunsAClusterWithoutGo(t *testing.T) {
	p := release(t)
	r := newRoom(t, basics...)
	p.offer(t, r, p.all()...)
	r.ok(t, root, "sh", "/tmp/release/install.sh", "--from", "/tmp/release", "--prefix", "/usr/local")
	cluster(t, r, p, "installed", 1)
	r.ok(t, root, "sh", "/tmp/release/install.sh", "--uninstall", "--prefix", "/usr/local")
	if left := below(t, r.path("usr/local")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

func TestThePackageRunsAClusterWithoutGo(t *testing.T) {
	p := release(t)
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip(err)
	}
	r := newRoom(t, "sh")
	dpkg(t, r, "--install", filepath.Join(p.dir, p.base+".deb"))
	cluster(t, r, p, "packaged", 0)
	for _, file := range []string{"share/man/man1/skiff-up.1", "share/zsh/vendor-completions/_skiff", "share/doc/skiff/copyright"} {
		if _, err := os.Stat(r.path("usr/" + file)); err != nil {
			t.Error(err)
		}
	}
	dpkg(t, r, "--purge", "skiff")
	if left := below(t, r.path("usr")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// dpkg runs the host's dpkg on the room's own database, which has no packages.
func dpkg(t *testing.T, r room, args ...string) {
	t.Helper()
	for _, dir := range []string{"updates", "info", "triggers"} {
		if err := os.MkdirAll(r.path("var/lib/dpkg/"+dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	status, err := os.OpenFile(r.path("var/lib/dpkg/status"), os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if err := status.Close(); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "dpkg", append([]string{"--root=" + r.dir, "--force-not-root"}, args...)...)
	command.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("dpkg %q: %v\n%s", args, err, out)
	}
}

// cluster starts a cluster with the skiff on the room's path, checks its nodes, and
// deletes it.
func cluster(t *testing.T, r room, p published, name string, workers int) {
	t.Helper()
	if out := r.ok(t, root, "skiff", "version"); !strings.Contains(out, "v"+p.version) || strings.Contains(out, "none") {
		t.Errorf("version\n%s", out)
	}
	t.Cleanup(func() { r.run(t, root, "skiff", "down", name) })
	up := r.run(t, root, "skiff", "up", name, "--driver", "sandbox", "--workers", fmt.Sprint(workers), "--memory", "1Gi")
	if up.code != 0 {
		t.Fatalf("up: exit code %d\n%s%s\n%s", up.code, up.stdout, up.stderr, r.run(t, root, "skiff", "logs", "control-plane-1").stdout)
	}
	var status daemonapi.ClusterStatus
	if err := json.Unmarshal([]byte(r.ok(t, root, "skiff", "status", name, "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if status.Phase != "running" || !status.APIReady || len(status.Nodes) != workers+1 {
		t.Errorf("status %+v", status)
	}
	for _, node := range status.Nodes {
		if node.Ready != "True" {
			t.Errorf("node %s: ready %q, %s", node.Name, node.Ready, node.Reason)
		}
	}
	r.ok(t, root, "skiff", "down", name)
	if left := below(t, r.path("root/.skiff/clusters")); len(left) > 0 {
		t.Errorf("down left %q", left)
	}
}

// below lists the files below a directory.
func below(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && !e.IsDir() {
			all = append(all, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestATamperedReleaseIsRefused(t *testing.T) {
	p := release(t)
	for what, c := range map[string]struct {
		file   string
		change func(t *testing.T, content []byte) []byte
		want   string
	}{
		"archive": {p.base + ".tar.gz", func(_ *testing.T, content []byte) []byte {
			content[len(content)/2] ^= 1
			return content
		}, "does not have the signed checksum"},
		"checksums": {"checksums.txt", func(_ *testing.T, content []byte) []byte {
			return []byte(strings.Repeat("0", 64) + "  " + p.base + ".tar.gz\n")
		}, "signature"},
		"signature of another key": {"checksums.txt.sig", func(t *testing.T, _ []byte) []byte {
			sums, err := os.ReadFile(filepath.Join(p.dir, "checksums.txt"))
			if err != nil {
				t.Fatal(err)
			}
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256(sums)
			signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			return []byte(base64.StdEncoding.EncodeToString(signature) + "\n")
		}, "signature"},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRoom(t, basics...)
			p.offer(t, r, p.all()...)
			file := r.path("tmp/release/" + c.file)
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, c.change(t, content), 0o644); err != nil {
				t.Fatal(err)
			}
			o := r.run(t, ordinary, "sh", "/tmp/release/install.sh", "--from", "/tmp/release")
			if o.code != 1 || !strings.Contains(o.stderr, c.want) {
				t.Errorf("exit code %d\n%s", o.code, o.stderr)
			}
			if left := below(t, r.path("home/user")); len(left) > 0 {
				t.Errorf("left %q", left)
			}
		})
	}
}

func TestTheBillOfMaterialsCoversHostAndGuest(t *testing.T) {
	p := release(t)
	file, err := os.Open(filepath.Join(p.dir, p.base+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(file, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	var urls []string
	var collect func(components *[]cdx.Component)
	collect = func(components *[]cdx.Component) {
		if components == nil {
			return
		}
		for _, c := range *components {
			urls = append(urls, c.Name+" "+c.PackageURL)
			collect(c.Components)
		}
	}
	collect(bom.Components)
	for _, want := range []string{
		"bin/skiff ", "github.com/lima-vm/lima/v2 pkg:golang/", "/usr/bin/skiff-nodeagent ", "k8s.io/kubernetes pkg:golang/",
		"/usr/bin/containerd ", "e2fsprogs pkg:deb/debian/",
	} {
		if !slices.ContainsFunc(urls, func(url string) bool { return strings.HasPrefix(url, want) }) {
			t.Errorf("no %q among %d components", want, len(urls))
		}
	}
}
