package build

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

	"github.com/skiff-dev/skiff/images/recipe"
)

// epoch is every file's time: an image does not know when it was made.
const epoch = "1"

// tree is an image in the making.
type tree struct {
	Config
	work, root, image string
	began             time.Time
	// kernelDir has the modules of release.
	kernelDir, release string
	modules            moduleTree
}

func (t *tree) log(format string, arguments ...any) {
	t.Log("%5.1fs "+format, append([]any{time.Since(t.began).Seconds()}, arguments...)...)
}

// assemble makes kernel, initramfs and root in t.image.
func (t *tree) assemble(ctx context.Context, lock Lock, manifest *Manifest) error {
	if err := os.MkdirAll(t.image, 0o755); err != nil {
		return err
	}
	if err := t.plain(); err != nil {
		return err
	}
	t.log("unpacking %d Debian packages", len(lock.Debs))
	if err := t.packages(ctx, lock, manifest); err != nil {
		return err
	}
	if err := t.kernel(manifest); err != nil {
		return err
	}
	if err := t.programs(ctx, manifest); err != nil {
		return err
	}
	if err := t.applets(ctx); err != nil {
		return err
	}
	if err := t.initramfs(manifest); err != nil {
		return err
	}
	t.log("making %s", FileRoot)
	return t.erofs(ctx, manifest.Inputs)
}

// plain makes the directories, links and files that the recipe spells out.
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

// packages unpacks all packages beside the root and takes from them what the
// recipe names.
func (t *tree) packages(ctx context.Context, lock Lock, manifest *Manifest) error {
	all, owner := filepath.Join(t.work, "packages"), map[string]string{}
	t.kernelDir = filepath.Join(t.work, "kernel")
	for _, deb := range lock.Debs {
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
	manifest.Packages = usedPackages(lock, owner, from.names())
	return t.certificates()
}

// certificates puts the authorities that Mozilla trusts into one file, where
// programs look for it.
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

// kernel takes the kernel and the modules that the recipe names.
func (t *tree) kernel(manifest *Manifest) error {
	releases, err := filepath.Glob(filepath.Join(t.kernelDir, "usr/lib/modules/*"))
	if err != nil || len(releases) != 1 {
		return fmt.Errorf("package %s has %d kernels", t.Recipe.KernelPackage, len(releases))
	}
	from := releases[0]
	t.release = filepath.Base(from)
	manifest.KernelRelease = t.release
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
	// The boot image as Debian made it: an uncompressed kernel starts 0.3 s
	// sooner under emulation, but without address randomisation, and some of
	// its boots never got as far as the first program.
	return copyFile(filepath.Join(t.image, FileKernel), filepath.Join(t.kernelDir, "boot/vmlinuz-"+t.release), 0o644)
}

// programs puts third-party programs, our own and the pause image in place.
func (t *tree) programs(ctx context.Context, manifest *Manifest) error {
	builder := programs{arch: t.Recipe.Arch, source: t.Programs, cache: t.Cache}
	for _, program := range t.Recipe.Programs {
		t.log("building %s", strings.Join(program.Names, ", "))
		dir, err := builder.build(ctx, program)
		if err != nil {
			return err
		}
		for _, name := range program.Names {
			if err := t.program(filepath.Join(dir, name), filepath.Join(program.Dir, name), manifest); err != nil {
				return err
			}
		}
	}
	for _, guest := range t.Recipe.Guest {
		if err := t.program(filepath.Join(t.Guest, guest.Name), guest.Path, manifest); err != nil {
			return err
		}
	}
	pause, err := builder.pause(ctx)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(pause)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	if err := writeImage(&archive, recipe.PauseImage, t.Recipe.Arch, "pause", content); err != nil {
		return err
	}
	return writeFile(filepath.Join(t.root, recipe.PauseArchive), archive.Bytes(), 0o644)
}

func (t *tree) program(from, to string, manifest *Manifest) error {
	if err := copyFile(filepath.Join(t.root, to), from, 0o755); err != nil {
		return err
	}
	program, err := describe(from, "/"+to)
	if err != nil {
		return err
	}
	manifest.Programs = append(manifest.Programs, program)
	return nil
}

// describe is what the manifest says of a program that lies at path in a node.
func describe(file, path string) (Program, error) {
	digest, err := fileDigest(file)
	if err != nil {
		return Program{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return Program{}, err
	}
	program := Program{Path: path, Bytes: info.Size(), SHA256: digest}
	// C programs, and placeholders of tests, have no build information.
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

// applets links busybox's commands where no other package brought one.
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

// initramfs has the first program, the modules that lead to the root, and a
// console to complain on.
func (t *tree) initramfs(manifest *Manifest) error {
	from := filepath.Join(t.Guest, t.Recipe.Init)
	init, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	program, err := describe(from, "/init")
	if err != nil {
		return err
	}
	manifest.Programs = append(manifest.Programs, program)
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
	return os.WriteFile(filepath.Join(t.image, FileInitramfs), out.Bytes(), 0o644)
}

// erofs makes the root's filesystem, everything in it owned by root.
func (t *tree) erofs(ctx context.Context, inputs string) error {
	if err := writeFile(filepath.Join(t.root, "usr/lib/skiff/image-id"), []byte(inputs+"\n"), 0o644); err != nil {
		return err
	}
	if err := openModes(t.root); err != nil {
		return err
	}
	id := fmt.Sprintf("%s-%s-%s-%s-%s", inputs[:8], inputs[8:12], inputs[12:16], inputs[16:20], inputs[20:32])
	_, err := run(ctx, "", nil, "mkfs.erofs", "--all-root", "-T"+epoch, "-U"+id, "-zlz4hc", "-C65536",
		filepath.Join(t.image, FileRoot), t.root)
	return err
}

// openModes gives directories the same mode under every umask.
func openModes(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return os.Chmod(path, 0o755)
	})
}
