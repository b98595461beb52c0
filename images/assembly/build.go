// Package assembly builds a node image from its recipe. The same inputs give the
// same image, and an image whose inputs have not changed is not built again.
package assembly

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/recipe"
	"github.com/skiff-dev/skiff/images/sbom"
	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Config of one build.
type Config struct {
	// Recipe is what to build.
	Recipe recipe.Image
	// Kubernetes is the version of the guest programs, for the manifest.
	Kubernetes string
	// Programs is the directory images/programs. Guest has the project's own
	// programs for the recipe's architecture. Locks has the package lock of each
	// architecture.
	Programs, Guest, Locks string
	// Out receives the image. Cache keeps what makes the next build faster.
	Out, Cache string
	// Update locks the packages that apt offers now.
	Update bool
	// Log is called for each step.
	Log func(format string, arguments ...any)
}

// Run builds the image unless it is up to date, and reports whether it did.
func Run(ctx context.Context, c Config) (manifest.Manifest, bool, error) {
	if runtime.GOOS != "linux" {
		return manifest.Manifest{}, false, &Hint{errors.New("node images are built on Linux"), "build in a Debian container or use a released image"}
	}
	packages := c.apt()
	lock, err := packages.lock(ctx, filepath.Join(c.Locks, "packages-"+c.Recipe.Arch+".json"), c.Recipe, c.Update)
	if err != nil {
		return manifest.Manifest{}, false, err
	}
	if err := packages.fetch(ctx, lock.Packages); err != nil {
		c.Log("the locked packages cannot be downloaded (%v); using those that the distribution offers now", err)
		if lock, err = packages.lock(ctx, filepath.Join(c.Cache, "packages-"+c.Recipe.Arch+".json"), c.Recipe, true); err != nil {
			return manifest.Manifest{}, false, err
		}
		if err := packages.fetch(ctx, lock.Packages); err != nil {
			return manifest.Manifest{}, false, err
		}
	}
	inputs, err := c.inputs(lock)
	if err != nil {
		return manifest.Manifest{}, false, err
	}
	if have, err := manifest.Read(c.Out); err == nil && have.Inputs == inputs && complete(c.Out, have) {
		return have, false, nil
	}
	built, err := c.build(ctx, lock, inputs)
	return built, err == nil, err
}

func (c Config) apt() apt {
	return apt{arch: c.Recipe.DebianArch, cache: filepath.Join(c.Cache, "debs")}
}

// complete reports whether the files of a manifest exist in full.
func complete(dir string, m manifest.Manifest) bool {
	for name, file := range m.Files {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != file.Bytes {
			return false
		}
	}
	return len(m.Files) > 0
}

// inputs is the digest of everything that determines the image: the builder with
// its recipe, the packages, and every program's source or content.
func (c Config) inputs(lock Lock) (string, error) {
	h := sha256.New()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	digest, err := fileDigest(self)
	if err != nil {
		return "", err
	}
	fmt.Fprintln(h, "builder", digest, c.Recipe.Arch, c.Kubernetes)
	for _, deb := range lock.Packages {
		fmt.Fprintln(h, "deb", deb.Name, deb.Version, deb.SHA256)
	}
	digest, err = directoryDigest(c.Programs, "")
	if err != nil {
		return "", err
	}
	fmt.Fprintln(h, "programs", digest)
	for _, guest := range append([]recipe.Guest{{Name: c.Recipe.Init}}, c.Recipe.Guest...) {
		digest, err := fileDigest(filepath.Join(c.Guest, guest.Name))
		if err != nil {
			return "", &Hint{fmt.Errorf("guest program: %w", err), "make build"}
		}
		fmt.Fprintln(h, "guest", guest.Name, digest)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// build builds the image in the cache and then moves its files into place, the
// manifest last, so that everything that a manifest names exists.
func (c Config) build(ctx context.Context, lock Lock, inputs string) (m manifest.Manifest, err error) {
	if err := os.MkdirAll(c.Cache, 0o755); err != nil {
		return m, err
	}
	work, err := os.MkdirTemp(c.Cache, ".image-")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(work)
	t := &tree{Config: c, work: work, root: filepath.Join(work, "root"), image: filepath.Join(work, "image"), began: time.Now()}
	m = manifest.Manifest{
		Arch: c.Recipe.Arch, Kubernetes: c.Kubernetes, Cmdline: c.Recipe.Cmdline, Inputs: inputs,
		Contract: nodeconfig.Contract(),
		Files:    map[string]manifest.File{},
	}
	if err := t.assemble(ctx, lock, &m); err != nil {
		return m, err
	}
	names := []string{manifest.Kernel, manifest.Initramfs, manifest.Root}
	h := sha256.New()
	fmt.Fprintln(h, m.Arch, m.Cmdline)
	for _, name := range names {
		file := filepath.Join(t.image, name)
		info, err := os.Stat(file)
		if err != nil {
			return m, err
		}
		digest, err := fileDigest(file)
		if err != nil {
			return m, err
		}
		m.Files[name] = manifest.File{Bytes: info.Size(), SHA256: digest}
		fmt.Fprintln(h, name, digest)
	}
	m.Digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return m, c.publish(t.image, append(names, manifest.Beside()...), m)
}

func (c Config) publish(from string, names []string, m manifest.Manifest) error {
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	// There is no image without a manifest, so an interrupted build leaves none.
	if err := os.Remove(filepath.Join(c.Out, manifest.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, name := range names {
		if err := move(filepath.Join(c.Out, name), filepath.Join(from, name)); err != nil {
			return err
		}
	}
	var materials bytes.Buffer
	if err := sbom.Write(&materials, m); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(c.Out, sbom.Name), materials.Bytes(), 0o644); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(c.Out, manifest.Name), append(text, '\n'), 0o644)
}

// move renames a file. If the cache is on another file system, it copies the file
// next to the target first.
func move(to, from string) error {
	if os.Rename(from, to) == nil {
		return nil
	}
	temporary := to + ".tmp"
	if err := copyFile(temporary, from, 0o644); err != nil {
		return err
	}
	return atomicfile.Install(temporary, to, 0o644)
}

// usedPackages returns the packages that at least one path was taken from, and the
// kernel's.
func usedPackages(lock Lock, owner map[string]string, taken []string) []manifest.Package {
	used := map[string]bool{}
	for _, path := range taken {
		used[owner[path]] = true
	}
	return slices.DeleteFunc(slices.Clone(lock.Packages), func(p manifest.Package) bool {
		return !used[p.Name] && !strings.HasPrefix(p.Name, "linux-image-")
	})
}
