package assembly

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/skiff-dev/skiff/images/recipe"
)

// triplets maps Go's architectures to the names that Debian's compilers and libraries
// have for them.
var triplets = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

// programs builds third-party programs from their pinned modules into the cache,
// once for each version of a module's files.
type programs struct {
	arch string
	// packages provide the C libraries for another architecture.
	packages apt
	// source is images/programs, cache the build cache.
	source, cache string
}

// build builds a module's programs and returns their directory.
func (p programs) build(ctx context.Context, program recipe.Program) (string, error) {
	source := filepath.Join(p.source, program.Module)
	flags := []string{"build", "-trimpath", "-buildvcs=false", "-tags", strings.Join(program.Tags, ",")}
	linker := "-s -w"
	env := []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + p.arch, "GOWORK=off", "GOFLAGS=-mod=readonly"}
	if program.CGo {
		linker += " -extldflags -static"
		env = append(env, "CGO_ENABLED=1", "CC="+p.compiler())
	}
	if program.Stamp != (recipe.Stamp{}) {
		version, err := moduleVersion(ctx, source, program.Stamp.Module)
		if err != nil {
			return "", err
		}
		linker += " -X " + program.Stamp.Variable + "=" + version
	}
	flags = append(flags, "-ldflags", linker)
	key, err := directoryDigest(source, strings.Join(append(flags, env...), " ")+runtime.Version())
	if err != nil {
		return "", err
	}
	dir := filepath.Join(p.cache, "programs-"+p.arch, program.Module+"-"+key[:16])
	return dir, once(dir, func(temporary string) error {
		if program.CGo {
			found, err := p.libraries(ctx, program)
			if err != nil {
				return err
			}
			env = append(env, found...)
		}
		_, err := run(ctx, source, env, "go", append(flags, "-o", temporary+"/", "tool")...)
		if err != nil && program.CGo {
			return &Hint{fmt.Errorf("build %s: %w", program.Module, err), p.compilerHint(program)}
		}
		if err != nil {
			return fmt.Errorf("build %s: %w", program.Module, err)
		}
		for _, name := range program.Names {
			if _, err := os.Stat(filepath.Join(temporary, name)); err != nil {
				return fmt.Errorf("build %s: %w", program.Module, err)
			}
		}
		return nil
	})
}

// moduleVersion returns the version of a module that the go.mod in dir selects.
func moduleVersion(ctx context.Context, dir, module string) (string, error) {
	out, err := run(ctx, dir, []string{"GOWORK=off", "GOFLAGS=-mod=readonly"}, "go", "list", "-m", "-f", "{{.Version}}", module)
	if err != nil {
		return "", fmt.Errorf("find the version of %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// compile builds the program in C of a directory of images/programs, NAME/NAME.c, and returns
// its path.
func (p programs) compile(ctx context.Context, name string) (string, error) {
	source := filepath.Join(p.source, name)
	key, err := directoryDigest(source, p.compiler())
	if err != nil {
		return "", err
	}
	dir := filepath.Join(p.cache, "programs-"+p.arch, name+"-"+key[:16])
	return filepath.Join(dir, name), once(dir, func(temporary string) error {
		_, err := run(ctx, source, nil, p.compiler(), "-Os", "-Wall", "-Werror", "-static", "-s", "-Wl,--build-id=none",
			"-o", filepath.Join(temporary, name), name+".c")
		if err != nil {
			return &Hint{fmt.Errorf("build %s: %w", name, err), p.compilerHint(recipe.Program{})}
		}
		return nil
	})
}

// libraries returns the environment in which cgo finds a program's C libraries. For
// another architecture it unpacks their Debian packages into the cache.
func (p programs) libraries(ctx context.Context, program recipe.Program) ([]string, error) {
	if p.arch == runtime.GOARCH {
		return nil, nil
	}
	dir := filepath.Join(p.cache, "programs-"+p.arch, "libraries-"+program.Module)
	if err := once(dir, func(temporary string) error {
		if err := p.packages.refresh(ctx); err != nil {
			return err
		}
		var names []string
		for _, library := range program.Libraries {
			names = append(names, library+":"+p.packages.arch)
		}
		found, err := p.packages.locate(ctx, names)
		if err != nil {
			return err
		}
		if err := p.packages.fetch(ctx, found); err != nil {
			return err
		}
		for _, deb := range found {
			if _, err := unpack(ctx, filepath.Join(p.packages.cache, deb.File), temporary, func(string) bool { return true }); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("libraries of %s: %w", program.Module, err)
	}
	lib := filepath.Join(dir, "usr/lib", triplets[p.arch])
	return []string{
		"PKG_CONFIG_SYSROOT_DIR=" + dir, "PKG_CONFIG_LIBDIR=" + filepath.Join(lib, "pkgconfig"),
		"CGO_CFLAGS=-O2 -I" + filepath.Join(dir, "usr/include"), "CGO_LDFLAGS=-O2 -L" + lib,
	}, nil
}

// compilerHint names the packages that compiling a program needs.
func (p programs) compilerHint(program recipe.Program) string {
	if p.arch == runtime.GOARCH {
		return "apt-get install gcc libc6-dev " + strings.Join(program.Libraries, " ")
	}
	return fmt.Sprintf("apt-get install gcc-%s libc6-dev-%s-cross", strings.ReplaceAll(triplets[p.arch], "_", "-"), p.arch)
}

func (p programs) compiler() string {
	if p.arch == runtime.GOARCH {
		return "gcc"
	}
	return triplets[p.arch] + "-gcc"
}

// once fills a directory by calling fill, unless an earlier call has succeeded.
func once(dir string, fill func(temporary string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(dir), ".filling-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := fill(temporary); err != nil {
		return err
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return err
	}
	return os.Rename(temporary, dir)
}

// directoryDigest returns the SHA-256 of extra and of all files below dir.
func directoryDigest(dir, extra string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, extra)
	var files []string
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, file)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	slices.Sort(files)
	for _, file := range files {
		digest, err := fileDigest(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, file[len(dir):], digest)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
