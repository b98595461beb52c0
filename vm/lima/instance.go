package lima

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lima-vm/lima/v2/pkg/limatype"
	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"
	"github.com/lima-vm/lima/v2/pkg/limayaml"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// seedBlock is the sector size of a CD, from which the guest reads its seed, in
// bytes.
const seedBlock = 2048

// maxSocket is the maximum length of a unix socket's path on every host (unix(4) of
// macOS; Linux allows four more).
const maxSocket = 103

// emptyFirmware is an empty file where Lima looks for firmware first. The wrapper
// removes it from QEMU's arguments.
const emptyFirmware = filenames.QemuEfiCodeFD

// writeInstance writes the files that Lima expects in the machine's directory. They
// depend only on m, so an interrupted earlier attempt does not matter.
func (d *Driver) writeInstance(ctx context.Context, m machine.Machine) error {
	if err := d.writeBoot(m); err != nil {
		return err
	}
	dir := d.dir(m.Name)
	for _, leftover := range []string{filenames.PIDFile(d.platform.vmType()), qemuLog, incomingFile} {
		if err := remove(filepath.Join(dir, leftover)); err != nil {
			return err
		}
	}
	return d.platform.createRoot(ctx, m.Image.Root, filepath.Join(dir, filenames.Disk))
}

// writeBoot writes what the machine boots from.
func (d *Driver) writeBoot(m machine.Machine) error {
	dir := d.dir(m.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, source := range map[string]string{
		filenames.Kernel: m.Image.Kernel,
		filenames.Initrd: m.Image.Initramfs,
	} {
		if err := link(source, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for name, content := range map[string][]byte{
		filenames.KernelCmdline: []byte(d.cmdline(m.Image)),
		filenames.CIDataISO:     pad(m.Seed),
		emptyFirmware:           nil,
	} {
		if err := atomicfile.Write(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// cmdline returns the kernel command line for the acceleration.
func (d *Driver) cmdline(image machine.Image) string {
	if d.accelerated(image.Arch).Emulated() {
		return image.Cmdline + " " + emulatedParameters(image.Arch)
	}
	return image.Cmdline
}

// instance returns the machine as Lima describes it. It is never written to disk.
func (d *Driver) instance(ctx context.Context, m machine.Machine) (*limatype.Instance, error) {
	dir := d.dir(m.Name)
	config := &limatype.LimaYAML{
		VMType:          ptr(d.platform.vmType()),
		OS:              ptr(limatype.LINUX),
		Arch:            ptr(limatype.NewArch(m.Image.Arch)),
		CPUs:            ptr(m.CPUs),
		Memory:          ptr(fmt.Sprintf("%dMiB", m.MemoryMiB)),
		Disk:            ptr("1GiB"),
		AdditionalDisks: []limatype.Disk{{Name: m.Name, Format: ptr(false)}},
		Plain:           ptr(true),
		Firmware:        limatype.Firmware{LegacyBIOS: ptr(m.Image.Arch == "amd64")},
		Video:           limatype.Video{Display: ptr("none")},
		Networks:        d.platform.networks(d.config.Network, m.MAC),
		SSH:             limatype.SSH{LocalPort: ptr(0), LoadDotSSHPubKeys: ptr(false), OverVsock: ptr(false)},
		Containerd:      limatype.Containerd{System: ptr(false), User: ptr(false)},
	}
	limayaml.FillDefault(ctx, config, &limatype.LimaYAML{}, &limatype.LimaYAML{}, filepath.Join(dir, filenames.LimaYAML), false)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &limatype.Instance{
		Name: m.Name, Hostname: m.Name, Dir: dir, Config: config,
		VMType: *config.VMType, Arch: *config.Arch, CPUs: m.CPUs,
		AdditionalDisks: config.AdditionalDisks, Networks: config.Networks,
		SSHAddress: "127.0.0.1",
	}, nil
}

// pad fills a seed with newlines to whole blocks, with driver.SeedRoom to grow.
func pad(seed []byte) []byte {
	size := (len(seed) + driver.SeedRoom + seedBlock - 1) / seedBlock * seedBlock
	return append(bytes.Clone(seed), bytes.Repeat([]byte("\n"), size-len(seed))...)
}

// overwrite replaces the seed in a file without changing the size of the file.
func overwrite(path string, seed []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < int64(len(seed)) {
		err = fmt.Errorf("%d bytes do not fit into the %d that the machine was started with", len(seed), info.Size())
	}
	if err == nil {
		fill := bytes.Repeat([]byte("\n"), int(info.Size())-len(seed))
		_, err = f.WriteAt(append(bytes.Clone(seed), fill...), 0)
	}
	return errors.Join(err, f.Close())
}

// link links source to target without copying it. A hard link keeps the content
// that the machine was started with when the image is replaced.
func link(source, target string) error {
	if err := remove(target); err != nil {
		return err
	}
	if err := os.Link(source, target); err == nil {
		return nil
	}
	return os.Symlink(source, target)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// checkPath returns an error for a directory that QEMU's options cannot express.
func checkPath(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("the machines' directory %s is not absolute", dir)
	}
	if strings.ContainsAny(dir, ",\n") {
		return fmt.Errorf("the machines' directory %s contains a comma or a line break, which QEMU does not accept; set SKIFF_HOME to another directory", dir)
	}
	return nil
}

// checkSocket returns an error if the paths of the sockets in a machine's directory
// would be too long.
func checkSocket(dir string) error {
	socket := filepath.Join(dir, filenames.SerialVirtioSock)
	if len(socket) > maxSocket {
		return fmt.Errorf("the path %s has %d characters, but sockets allow only %d; set SKIFF_HOME to a shorter directory or use a shorter cluster name", socket, len(socket), maxSocket)
	}
	return nil
}

// lastLine returns the last line of a small text file; empty if there is none.
func lastLine(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	line := lines[len(lines)-1]
	return line[:min(len(line), 300)]
}

func ptr[T any](value T) *T { return &value }
