// Package build makes a node image from its recipe: the same inputs give the
// same image, and an image whose inputs did not change is not made again.
package build

import (
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

	"github.com/skiff-dev/skiff/images/recipe"
	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// Config is one run.
type Config struct {
	// Recipe is what to make.
	Recipe recipe.Image
	// Programs is the directory images/programs, Guest that of our own
	// programs for the recipe's architecture.
	Programs, Guest string
	// Out gets the image, Cache what makes the next run faster.
	Out, Cache string
	// Update takes the packages that apt offers now.
	Update bool
	// Log gets a line for each step.
	Log func(format string, arguments ...any)
}

// The image's files in Config.Out.
const (
	FileKernel    = "kernel"
	FileInitramfs = "initramfs"
	FileRoot      = "root.erofs"
	// FileImage is the Manifest as JSON; it is written last.
	FileImage = "image.json"
)

// Manifest describes an image.
type Manifest struct {
	// Digest is the content's: of kernel, initramfs, root and command line.
	Digest string `json:"digest"`
	Arch   string `json:"arch"`
	// Cmdline is the kernel's command line.
	Cmdline string `json:"cmdline"`
	// KernelRelease is what uname -r says in a node.
	KernelRelease string `json:"kernelRelease"`
	// Files are sizes and digests by file name.
	Files map[string]File `json:"files"`
	// Packages are all Debian packages that files were taken from.
	Packages []Deb `json:"packages"`
	// Programs are our own and third-party programs, with the Go modules that
	// they were linked from.
	Programs []Program `json:"programs"`
	// Inputs is the digest of all that the image was made from.
	Inputs string `json:"inputs"`
}

// File is one file of an image.
type File struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Program is one program of an image.
type Program struct {
	Path    string `json:"path"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
	Go      string `json:"go,omitempty"`
	Module  string `json:"module,omitempty"`
	Version string `json:"version,omitempty"`
	// Modules are "path version sum", replaced ones as what replaces them.
	Modules []string `json:"modules,omitempty"`
}

// Run makes the image if it must be made and says whether it was.
func Run(ctx context.Context, c Config) (Manifest, bool, error) {
	if runtime.GOOS != "linux" {
		return Manifest{}, false, &Hint{errors.New("node images are built on Linux"), "build in a Debian container or use a released image"}
	}
	packages := apt{arch: c.Recipe.DebianArch, cache: filepath.Join(c.Cache, "debs")}
	lock, err := packages.lock(ctx, filepath.Join(c.Cache, "packages-"+c.Recipe.Arch+".json"), c.Recipe, c.Update)
	if err != nil {
		return Manifest{}, false, err
	}
	inputs, err := c.inputs(lock)
	if err != nil {
		return Manifest{}, false, err
	}
	if have, err := ReadManifest(c.Out); err == nil && have.Inputs == inputs && complete(c.Out, have) {
		return have, false, nil
	}
	if err := packages.fetch(ctx, lock.Debs); err != nil {
		return Manifest{}, false, err
	}
	manifest, err := c.make(ctx, lock, inputs)
	return manifest, err == nil, err
}

// ReadManifest reads the manifest of the image in dir.
func ReadManifest(dir string) (Manifest, error) {
	var m Manifest
	text, err := os.ReadFile(filepath.Join(dir, FileImage))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s: %w", FileImage, err)
	}
	return m, nil
}

// complete says whether the files that a manifest names are there in full.
func complete(dir string, m Manifest) bool {
	for name, file := range m.Files {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != file.Bytes {
			return false
		}
	}
	return len(m.Files) > 0
}

// inputs is the digest of all that decides the image: the builder itself with
// the recipe inside, packages, and every program's source or content.
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
	fmt.Fprintln(h, "builder", digest, c.Recipe.Arch)
	for _, deb := range lock.Debs {
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

// make makes the image in a directory beside Out and then puts its files in
// place, the manifest last: what it names is there.
func (c Config) make(ctx context.Context, lock Lock, inputs string) (Manifest, error) {
	if err := os.MkdirAll(c.Cache, 0o755); err != nil {
		return Manifest{}, err
	}
	work, err := os.MkdirTemp(c.Cache, ".image-")
	if err != nil {
		return Manifest{}, err
	}
	defer os.RemoveAll(work)
	t := &tree{Config: c, work: work, root: filepath.Join(work, "root"), image: filepath.Join(work, "image"), began: time.Now()}
	manifest := Manifest{Arch: c.Recipe.Arch, Cmdline: c.Recipe.Cmdline, Inputs: inputs, Files: map[string]File{}}
	if err := t.assemble(ctx, lock, &manifest); err != nil {
		return Manifest{}, err
	}
	names := []string{FileKernel, FileInitramfs, FileRoot}
	h := sha256.New()
	fmt.Fprintln(h, manifest.Arch, manifest.Cmdline)
	for _, name := range names {
		file := filepath.Join(t.image, name)
		info, err := os.Stat(file)
		if err != nil {
			return Manifest{}, err
		}
		digest, err := fileDigest(file)
		if err != nil {
			return Manifest{}, err
		}
		manifest.Files[name] = File{info.Size(), digest}
		fmt.Fprintln(h, name, digest)
	}
	manifest.Digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return manifest, c.publish(t.image, names, manifest)
}

func (c Config) publish(from string, names []string, manifest Manifest) error {
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(manifest, "", " ")
	if err != nil {
		return err
	}
	// Without its manifest an image is none, so a stop in between leaves none.
	if err := os.Remove(filepath.Join(c.Out, FileImage)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, name := range names {
		if err := move(filepath.Join(c.Out, name), filepath.Join(from, name)); err != nil {
			return err
		}
	}
	return atomicfile.Write(filepath.Join(c.Out, FileImage), append(text, '\n'), 0o644)
}

// move renames, or copies to a file beside the target first where the cache is
// on another filesystem.
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

// usedPackages are the packages that at least one path was taken from.
func usedPackages(lock Lock, owner map[string]string, taken []string) []Deb {
	used := map[string]bool{}
	for _, path := range taken {
		used[owner[path]] = true
	}
	return slices.DeleteFunc(slices.Clone(lock.Debs), func(d Deb) bool {
		return !used[d.Name] && !strings.HasPrefix(d.Name, "linux-image-")
	})
}
