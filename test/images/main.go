// Command images builds the images of the end-to-end tests as OCI archives: a static
// workload program on top of Debian's static busybox, a gRPC server, PostgreSQL and Redis,
// and deliberately broken archives. It needs Go, apt-get and dpkg-deb but no registry. It
// does not touch an archive whose content has not changed.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/internal/atomicfile"
)

func main() {
	out := flag.String("o", "build/test/images", "directory for the archives")
	cache := flag.String("cache", "build/test/cache", "directory for downloads and intermediate files")
	skipper := flag.String("skipper", "", "program of the ingress controller; without it, its image is not written")
	router := flag.String("kube-router", "", "program of the pod network; without it, its image is not written")
	both := flag.Bool("architectures", false, "also write an image for amd64 and arm64")
	flag.Parse()
	err := run(*out, *cache)
	if err == nil && *both {
		err = writeArchitectures(*out, *cache)
	}
	if err == nil && *skipper != "" {
		err = writeSkipper(*out, *skipper)
	}
	if err == nil && *router != "" {
		err = writeKubeRouter(*out, *cache, *router)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(out, cache string) error {
	for _, dir := range []string{filepath.Join(out, "bad"), cache} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	busybox, err := busybox(cache)
	if err != nil {
		return fmt.Errorf("busybox: %w", err)
	}
	base, err := baseLayer(cache, busybox)
	if err != nil {
		return fmt.Errorf("base layer: %w", err)
	}
	program, err := compile(cache, "workload")
	if err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	top, err := oci.Layer([]oci.File{{Path: "bin/workload", Mode: 0o755, Data: program}})
	if err != nil {
		return err
	}
	return errors.Join(writeAll(out, base, top), writeHealth(out, cache), writeDatabases(out, cache, busybox))
}

// writeDatabases writes the image with the servers of PostgreSQL and Redis.
func writeDatabases(out, cache string, busybox []byte) error {
	layer, err := debian(cache, []string{"postgresql", "redis-server"}, mergedRoot(busybox))
	if err != nil {
		return fmt.Errorf("databases: %w", err)
	}
	return writeImage(out, "databases", v1.ImageConfig{Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{"sh"}}, layer)
}

// writeImage writes an image of layers.
func writeImage(out, name string, config v1.ImageConfig, layers ...[]byte) error {
	var archive bytes.Buffer
	err := oci.Write(&archive, oci.Image{Name: "skiff.test/" + name + ":1", Arch: runtime.GOARCH, Layers: layers, Config: config})
	if err != nil {
		return err
	}
	return writeIfChanged(filepath.Join(out, name+".tar"), archive.Bytes())
}

// writeArchitectures writes an image for two architectures, whose program reports which of them
// it was compiled for.
func writeArchitectures(out, cache string) error {
	var images []oci.Image
	for _, arch := range []string{"amd64", "arm64"} {
		program, err := compileFor(arch, cache, "workload")
		if err != nil {
			return err
		}
		layer, err := oci.Layer([]oci.File{{Path: "bin/workload", Mode: 0o755, Data: program}})
		if err != nil {
			return err
		}
		images = append(images, workloadImage("both", arch, layer))
	}
	var archive bytes.Buffer
	if err := oci.Write(&archive, images...); err != nil {
		return err
	}
	return writeIfChanged(filepath.Join(out, "architectures.tar"), archive.Bytes())
}

// writeHealth writes the image of the gRPC server, which contains only its program.
func writeHealth(out, cache string) error {
	program, err := compile(cache, "health")
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	return writeProgram(out, "health", program)
}

// writeSkipper writes the image of the ingress controller, which contains only its program.
func writeSkipper(out, path string) error {
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return writeProgram(out, "skipper", program)
}

// writeKubeRouter writes the image of the pod network: its program, and those of Debian that
// it calls.
func writeKubeRouter(out, cache, path string) error {
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	busybox, err := busybox(cache)
	if err != nil {
		return fmt.Errorf("busybox: %w", err)
	}
	base, err := debian(cache, []string{"iptables", "ipset", "iproute2"}, mergedRoot(busybox))
	if err != nil {
		return fmt.Errorf("kube-router: %w", err)
	}
	files := []oci.File{{Path: "usr/bin/kube-router", Mode: 0o755, Data: program}}
	// An installed system chooses between two implementations. This is the one for kernels
	// with nftables.
	for _, name := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
		files = append(files, oci.File{Path: "usr/sbin/" + name, Link: "xtables-nft-multi"})
	}
	top, err := oci.Layer(files)
	if err != nil {
		return err
	}
	return writeImage(out, "kube-router", v1.ImageConfig{
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Entrypoint: []string{"/usr/bin/kube-router"},
	}, base, top)
}

// writeProgram writes an image that contains only a program.
func writeProgram(out, name string, program []byte) error {
	layer, err := oci.Layer([]oci.File{{Path: name, Mode: 0o755, Data: program}})
	if err != nil {
		return err
	}
	return writeImage(out, name, v1.ImageConfig{Entrypoint: []string{"/" + name}}, layer)
}

// workloadImage is one version of the test workload.
func workloadImage(version, arch string, layers ...[]byte) oci.Image {
	return oci.Image{
		Name: "skiff.test/workload:" + version, Arch: arch, Layers: layers,
		Config: v1.ImageConfig{
			Env:        []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "WORKLOAD_VERSION=" + version},
			Entrypoint: []string{"/bin/workload"}, Cmd: []string{"serve"}, WorkingDir: "/",
		},
	}
}

func writeAll(out string, base, top []byte) error {
	// Both versions share every layer, so loading the second costs a machine nothing.
	var good bytes.Buffer
	err := oci.Write(&good, workloadImage("1", runtime.GOARCH, base, top), workloadImage("2", runtime.GOARCH, base, top))
	if err != nil {
		return err
	}
	box := oci.Image{
		Name: "skiff.test/busybox:1", Arch: runtime.GOARCH, Layers: [][]byte{base},
		Config: v1.ImageConfig{Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{"sh"}},
	}
	var small bytes.Buffer
	if err := oci.Write(&small, box); err != nil {
		return err
	}
	foreign := "arm64"
	if runtime.GOARCH == foreign {
		foreign = "amd64"
	}
	box.Name, box.Arch = "skiff.test/foreign:1", foreign
	var other bytes.Buffer
	if err := oci.Write(&other, box); err != nil {
		return err
	}
	changed := bytes.Replace(small.Bytes(), []byte("root:x:0:0"), []byte("evil:x:0:0"), 1)
	for name, data := range map[string][]byte{
		"workload.tar":               good.Bytes(),
		"busybox.tar":                small.Bytes(),
		"bad/truncated.tar":          small.Bytes()[:small.Len()/2],
		"bad/other-arch.tar":         other.Bytes(),
		"bad/changed-content.tar":    changed,
		"bad/not-an-archive.tar":     []byte("This is not a tar archive.\n"),
		"bad/empty.tar":              {},
		"bad/tar-without-images.tar": base,
	} {
		if err := writeIfChanged(filepath.Join(out, name), data); err != nil {
			return err
		}
	}
	return nil
}

// busybox returns Debian's static busybox.
func busybox(cache string) ([]byte, error) {
	path := filepath.Join(cache, "busybox-"+runtime.GOARCH)
	if data, err := os.ReadFile(path); err == nil {
		return data, nil
	}
	archives, err := download(cache, "busybox-static")
	if err != nil {
		return nil, err
	}
	data, err := find(archives[0], "./bin/busybox", "./usr/bin/busybox")
	if err != nil {
		return nil, err
	}
	return data, writeIfChanged(path, data)
}

// find returns the content of the first entry of a tar that has one of the names.
func find(files []byte, names ...string) ([]byte, error) {
	for r := tar.NewReader(bytes.NewReader(files)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("no entry %s", strings.Join(names, " or "))
		}
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if header.Name == name && header.Typeflag == tar.TypeReg {
				return io.ReadAll(r)
			}
		}
	}
}

// baseLayer returns a root file system with everything that a shell expects.
func baseLayer(cache string, busybox []byte) ([]byte, error) {
	program, err := filepath.Abs(filepath.Join(cache, "busybox-"+runtime.GOARCH))
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(program, 0o755); err != nil {
		return nil, err
	}
	applets, err := output("", nil, program, "--list")
	if err != nil {
		return nil, err
	}
	files := []oci.File{
		{Path: "bin/busybox", Mode: 0o755, Data: busybox},
		{Path: "etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{Path: "etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnogroup:x:65534:\n")},
		{Path: "etc/nsswitch.conf", Mode: 0o644, Data: []byte("hosts: files dns\n")},
		{Path: "sbin", Link: "bin"},
		{Path: "usr/bin", Link: "../bin"},
		{Path: "usr/sbin", Link: "../bin"},
		{Path: "tmp", Mode: 0o1777, Dir: true},
		{Path: "root", Mode: 0o700, Dir: true},
	}
	for _, dir := range []string{"bin", "dev", "etc", "home", "proc", "run", "sys", "usr", "var"} {
		files = append(files, oci.File{Path: dir, Mode: 0o755, Dir: true})
	}
	for _, applet := range strings.Fields(string(applets)) {
		if applet != "busybox" {
			files = append(files, oci.File{Path: "bin/" + applet, Link: "busybox"})
		}
	}
	return oci.Layer(files)
}

// compile builds a program beside this one and returns it.
func compile(cache, name string) ([]byte, error) { return compileFor(runtime.GOARCH, cache, name) }

func compileFor(arch, cache, name string) ([]byte, error) {
	path, err := filepath.Abs(filepath.Join(cache, name+"-"+arch))
	if err != nil {
		return nil, err
	}
	env := append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	_, err = output("", env, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=",
		"-o", path, "github.com/skiff-dev/skiff/test/images/"+name)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func output(dir string, env []string, name string, args ...string) ([]byte, error) {
	command := exec.Command(name, args...)
	command.Dir, command.Env = dir, env
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}

// writeIfChanged replaces a file atomically unless it already has this content, so
// that its modification time is the time of the last change.
func writeIfChanged(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return atomicfile.Write(path, data, 0o644)
}
