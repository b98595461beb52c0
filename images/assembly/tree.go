package assembly

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/images/recipe"
)

// epoch is every file's timestamp: an image does not depend on when it was built.
const epoch = "1"

// tree is an image being built.
type tree struct {
	Config
	work, root, image string
	began             time.Time
	// kernelDir contains the unpacked kernel package, release its version.
	kernelDir, release string
	modules            moduleTree
}

func (t *tree) log(format string, arguments ...any) {
	t.Log("%5.1fs "+format, append([]any{time.Since(t.began).Seconds()}, arguments...)...)
}

// assemble builds kernel, initramfs and root in t.image.
func (t *tree) assemble(ctx context.Context, lock Lock, m *manifest.Manifest) error {
	if err := os.MkdirAll(t.image, 0o755); err != nil {
		return err
	}
	if err := t.plain(); err != nil {
		return err
	}
	t.log("unpacking %d Debian packages", len(lock.Packages))
	if err := t.packages(ctx, lock, m); err != nil {
		return err
	}
	if err := t.kernel(m); err != nil {
		return err
	}
	if err := t.programs(ctx, m); err != nil {
		return err
	}
	if err := t.applets(ctx); err != nil {
		return err
	}
	if err := t.initramfs(m); err != nil {
		return err
	}
	t.log("building %s", manifest.Root)
	return t.erofs(ctx, m.Inputs)
}

// plain creates the directories, links and files that the recipe lists.
func (t *tree) plain() error {
	for _, dir := range t.Recipe.Dirs {
		if err := os.MkdirAll(filepath.Join(t.root, dir), 0o755); err != nil {
			return err
		}
	}
	for name, target := range t.Recipe.Links {
		path := filepath.Join(t.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, path); err != nil {
			return err
		}
	}
	for name, content := range t.Recipe.Files {
		if err := writeFile(filepath.Join(t.root, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// packages unpacks all packages next to the root and copies what the recipe names.
func (t *tree) packages(ctx context.Context, lock Lock, m *manifest.Manifest) error {
	all, owner := filepath.Join(t.work, "packages"), map[string]string{}
	t.kernelDir = filepath.Join(t.work, "kernel")
	for _, deb := range lock.Packages {
		to := all
		if strings.HasPrefix(deb.Name, "linux-image-") {
			to = t.kernelDir
		}
		paths, err := unpack(ctx, filepath.Join(t.Cache, "debs", deb.File), to, func(name string) bool {
			return !strings.HasPrefix(name, "usr/share/") || strings.HasPrefix(name, "usr/share/ca-certificates/")
		})
		if err != nil {
			return err
		}
		for _, path := range paths {
			owner[path] = deb.Name
		}
	}
	from, err := newPicker(all, t.root)
	if err != nil {
		return err
	}
	for _, wanted := range t.Recipe.Packages {
		for _, pattern := range wanted.Files {
			if err := from.pick(pattern); err != nil {
				return fmt.Errorf("package %s: %w", wanted.Name, err)
			}
		}
	}
	m.Debian = debianRelease()
	if m.Packages, err = t.sources(ctx, usedPackages(lock, owner, from.names())); err != nil {
		return err
	}
	return t.certificates()
}

// certificates collects the authorities that Mozilla trusts in one file, where
// programs look for them.
func (t *tree) certificates() error {
	dir := filepath.Join(t.root, "usr/share/ca-certificates/mozilla")
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return err
	}
	var bundle bytes.Buffer
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return err
		}
		bundle.Write(append(bytes.TrimRight(text, "\n"), '\n'))
	}
	if err := os.RemoveAll(filepath.Join(t.root, "usr/share/ca-certificates")); err != nil {
		return err
	}
	return writeFile(filepath.Join(t.root, "etc/ssl/certs/ca-certificates.crt"), bundle.Bytes(), 0o644)
}

// kernel copies the kernel and the modules that the recipe names.
func (t *tree) kernel(m *manifest.Manifest) error {
	releases, err := filepath.Glob(filepath.Join(t.kernelDir, "usr/lib/modules/*"))
	if err != nil || len(releases) != 1 {
		return fmt.Errorf("package %s contains %d kernels, want 1", t.Recipe.KernelPackage, len(releases))
	}
	from := releases[0]
	t.release = filepath.Base(from)
	m.KernelRelease = t.release
	if t.modules, err = readModules(from); err != nil {
		return err
	}
	wanted := t.Recipe.Modules
	names := slices.Concat(wanted.Initramfs, wanted.CDROM, wanted.Late, t.modules.match(wanted.Ship))
	if err := t.modules.install(from, filepath.Join(t.root, "usr/lib/modules", t.release), t.modules.order(names...)); err != nil {
		return err
	}
	for name, list := range map[string][]string{"cdrom": wanted.CDROM, "late": wanted.Late} {
		text := strings.Join(list, "\n") + "\n"
		if err := writeFile(filepath.Join(t.root, "usr/lib/skiff/modules", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	// Debian's own compressed kernel: an uncompressed one starts 0.3 s sooner under
	// emulation, but without address randomisation, and some of its boots hung
	// before the first program.
	return copyFile(filepath.Join(t.image, manifest.Kernel), filepath.Join(t.kernelDir, "boot/vmlinuz-"+t.release), 0o644)
}

// programs installs third-party programs, the project's own and the pause image.
func (t *tree) programs(ctx context.Context, m *manifest.Manifest) error {
	builder := programs{arch: t.Recipe.Arch, packages: t.apt(), source: t.Programs, cache: t.Cache}
	for _, program := range t.Recipe.Programs {
		t.log("building %s", strings.Join(program.Names, ", "))
		dir, err := builder.build(ctx, program)
		if err != nil {
			return err
		}
		for _, name := range program.Names {
			if err := t.program(filepath.Join(dir, name), filepath.Join(program.Dir, name), m); err != nil {
				return err
			}
		}
	}
	for _, guest := range t.Recipe.Guest {
		if err := t.program(filepath.Join(t.Guest, guest.Name), guest.Path, m); err != nil {
			return err
		}
	}
	if err := t.beside(ctx, builder, m); err != nil {
		return err
	}
	crun, err := builder.compile(ctx, "crun")
	if err != nil {
		return err
	}
	if err := t.program(crun, recipe.Crun, m); err != nil {
		return err
	}
	pause, err := builder.compile(ctx, "pause")
	if err != nil {
		return err
	}
	content, err := os.ReadFile(pause)
	if err != nil {
		return err
	}
	layer, err := oci.Layer([]oci.File{{Path: "pause", Mode: 0o755, Data: content}})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := oci.Write(&archive, oci.Image{
		Name: recipe.PauseImage, Arch: t.Recipe.Arch, Layers: [][]byte{layer},
		Config: v1.ImageConfig{Entrypoint: []string{"/pause"}, User: "65535:65535", WorkingDir: "/"},
	}); err != nil {
		return err
	}
	return writeFile(filepath.Join(t.root, recipe.PauseArchive), archive.Bytes(), 0o644)
}

// beside puts the programs that the host sends on demand next to the root.
func (t *tree) beside(ctx context.Context, programs programs, m *manifest.Manifest) error {
	for _, each := range t.Recipe.Beside {
		t.log("building %s", strings.Join(each.Names, ", "))
		dir, err := programs.build(ctx, each)
		if err != nil {
			return err
		}
		for _, name := range each.Names {
			from := filepath.Join(dir, name)
			program, err := Describe(from, name)
			if err != nil {
				return err
			}
			m.Programs = append(m.Programs, program)
			m.Files[name] = manifest.File{Bytes: program.Bytes, SHA256: program.SHA256}
			if err := copyFile(filepath.Join(t.image, name), from, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tree) program(from, to string, m *manifest.Manifest) error {
	if err := copyFile(filepath.Join(t.root, to), from, 0o755); err != nil {
		return err
	}
	program, err := Describe(from, "/"+to)
	if err != nil {
		return err
	}
	m.Programs = append(m.Programs, program)
	return nil
}

// Describe returns the manifest's entry for a program that is installed at path.
func Describe(file, path string) (manifest.Program, error) {
	digest, err := fileDigest(file)
	if err != nil {
		return manifest.Program{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return manifest.Program{}, err
	}
	program := manifest.Program{Path: path, Bytes: info.Size(), SHA256: digest}
	// C programs and the placeholders of tests have no build information.
	if build, err := buildinfo.ReadFile(file); err == nil {
		program.Go, program.Module, program.Version = build.GoVersion, build.Path, build.Main.Version
		for _, module := range build.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			program.Modules = append(program.Modules, strings.TrimSpace(module.Path+" "+module.Version+" "+module.Sum))
		}
	}
	return program, nil
}

// applets links busybox's commands unless a package provided a better one.
func (t *tree) applets(ctx context.Context) error {
	for _, name := range recipe.Applets() {
		for _, dir := range []string{"usr/bin", "usr/sbin"} {
			if _, err := os.Lstat(filepath.Join(t.root, dir, name)); err == nil {
				name = ""
				break
			}
		}
		if name == "" {
			continue
		}
		dir, target := "usr/bin", "busybox"
		if recipe.InSbin(name) {
			dir, target = "usr/sbin", "../bin/busybox"
		}
		if err := os.Symlink(target, filepath.Join(t.root, dir, name)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// initramfs writes an archive of the first program, the modules that mounting the
// root needs, and a console for error messages.
func (t *tree) initramfs(m *manifest.Manifest) error {
	from := filepath.Join(t.Guest, t.Recipe.Init)
	init, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	program, err := Describe(from, "/init")
	if err != nil {
		return err
	}
	m.Programs = append(m.Programs, program)
	var out bytes.Buffer
	w := &cpioWriter{w: &out}
	for _, dir := range []string{"dev", "root", "modules"} {
		w.directory(dir)
	}
	w.character("dev/console", 0o600, 5, 1)
	w.file("init", 0o755, init)
	var order strings.Builder
	for _, name := range t.modules.order(t.Recipe.Modules.Initramfs...) {
		content, err := os.ReadFile(filepath.Join(t.root, "usr/lib/modules", t.release, t.modules[name].file))
		if err != nil {
			return err
		}
		w.file("modules/"+name+".ko", 0o644, content)
		order.WriteString(name + ".ko\n")
	}
	w.file("modules/order", 0o644, []byte(order.String()))
	if err := w.close(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.image, manifest.Initramfs), out.Bytes(), 0o644)
}

// erofs writes the root file system, in which everything is owned by root.
func (t *tree) erofs(ctx context.Context, inputs string) error {
	if err := writeFile(filepath.Join(t.root, "usr/lib/skiff/image-id"), []byte(inputs+"\n"), 0o644); err != nil {
		return err
	}
	if err := openModes(t.root); err != nil {
		return err
	}
	id := fmt.Sprintf("%s-%s-%s-%s-%s", inputs[:8], inputs[8:12], inputs[12:16], inputs[16:20], inputs[20:32])
	_, err := run(ctx, "", nil, "mkfs.erofs", "--all-root", "-T"+epoch, "-U"+id, "-zlz4hc", "-C65536",
		filepath.Join(t.image, manifest.Root), t.root)
	return err
}

// openModes gives directories the same mode whatever the umask is.
func openModes(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return os.Chmod(path, 0o755)
	})
}
