package lima

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/lima-vm/lima/v2/pkg/limatype"
	"github.com/lima-vm/lima/v2/pkg/limayaml"

	"github.com/skiff-dev/skiff/internal/atomicfile"
	"github.com/skiff-dev/skiff/internal/pause"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/machine"
)

// foldersFile has the tags of a machine's folders, one a line, for QEMU's wrapper.
const foldersFile = "folders"

// virtiofsdWait is how long virtiofsd may take to listen.
const virtiofsdWait = 10 * time.Second

// virtiofsdPaths are where distributions install virtiofsd, which is rarely in PATH.
var virtiofsdPaths = []string{"/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"}

// FolderTag returns the tag by which a guest mounts a folder. Lima's vz driver
// derives it in this way.
func FolderTag(f machine.Folder) string { return limayaml.MountTag(f.Host, f.Path) }

// folderSocket is where virtiofsd serves the n-th folder of the machine in dir.
func folderSocket(dir string, n int) string { return filepath.Join(dir, fmt.Sprintf("fs%d.sock", n)) }

// share starts virtiofsd for each folder. It ends when its machine does.
func (qemuPlatform) share(ctx context.Context, inst *limatype.Instance, folders []machine.Folder) (io.Closer, error) {
	var tags strings.Builder
	for _, f := range folders {
		tags.WriteString(FolderTag(f) + "\n")
	}
	if err := atomicfile.Write(filepath.Join(inst.Dir, foldersFile), []byte(tags.String()), 0o600); err != nil {
		return nil, err
	}
	if len(folders) == 0 {
		return servers{}, nil
	}
	daemon, err := findVirtiofsd(ctx)
	if err != nil {
		return nil, err
	}
	var all servers
	for n, folder := range folders {
		started, err := serve(ctx, daemon, folderSocket(inst.Dir, n), folder)
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = append(all, started)
	}
	return all, nil
}

// virtiofsd is a program that shares a directory with a machine. There are two: the
// one in Rust (https://gitlab.com/virtio-fs/virtiofsd), and the one in C that QEMU
// had until version 8, which needs root and cannot share a folder read-only.
type virtiofsd struct {
	path  string
	fromC bool
}

func findVirtiofsd(ctx context.Context) (virtiofsd, error) {
	candidates := virtiofsdPaths
	if found, err := exec.LookPath("virtiofsd"); err == nil {
		candidates = append([]string{found}, candidates...)
	}
	for _, path := range candidates {
		version, err := exec.CommandContext(ctx, path, "--version").Output()
		if err == nil {
			return virtiofsd{path: path, fromC: strings.Contains(string(version), "QEMU")}, nil
		}
	}
	return virtiofsd{}, fmt.Errorf("%w: virtiofsd, which shares folders with machines, is not installed; install your distribution's package, usually virtiofsd", driver.ErrUnavailable)
}

// arguments returns how the program is started for a folder.
func (v virtiofsd) arguments(socket string, folder machine.Folder, root bool) ([]string, error) {
	switch {
	case !v.fromC:
		args := []string{"--socket-path", socket, "--shared-dir", folder.Host, "--announce-submounts"}
		if folder.ReadOnly {
			args = append(args, "--readonly")
		}
		return args, nil
	case !root:
		return nil, fmt.Errorf("%w: %s is QEMU's former virtiofsd, which needs root; install https://gitlab.com/virtio-fs/virtiofsd", driver.ErrUnavailable, v.path)
	case folder.ReadOnly:
		return nil, fmt.Errorf("%w: %s is QEMU's former virtiofsd, which cannot share %s read-only; install https://gitlab.com/virtio-fs/virtiofsd, or mount it without \":ro\"", driver.ErrUnavailable, v.path, folder.Host)
	case strings.Contains(folder.Host, ","):
		return nil, fmt.Errorf("%w: %s cannot share %s, whose name contains a comma; install https://gitlab.com/virtio-fs/virtiofsd", driver.ErrUnavailable, v.path, folder.Host)
	default:
		return []string{"--socket-path=" + socket, "-f", "-o", "source=" + folder.Host + ",announce_submounts,log_level=warn"}, nil
	}
}

// servers are the virtiofsd processes of one machine.
type servers []*server

type server struct {
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// serve starts a server and returns when it listens.
func serve(ctx context.Context, program virtiofsd, socket string, folder machine.Folder) (*server, error) {
	args, err := program.arguments(socket, folder, os.Geteuid() == 0)
	if err != nil {
		return nil, err
	}
	if err := remove(socket); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(strings.TrimSuffix(socket, ".sock")+".log", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	started := &server{command: exec.Command(program.path, args...), ended: make(chan struct{})}
	started.command.Stdout, started.command.Stderr = log, log
	dieWithUs(started.command)
	if err := started.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program.path, err)
	}
	go func() {
		_ = started.command.Wait()
		close(started.ended)
	}()
	if err := started.await(ctx, socket, log.Name()); err != nil {
		return nil, errors.Join(err, started.Close())
	}
	return started, nil
}

// await returns when the server listens at the socket.
func (s *server) await(ctx context.Context, socket, log string) error {
	ctx, cancel := context.WithTimeout(ctx, virtiofsdWait)
	defer cancel()
	for !exists(socket) {
		select {
		case <-s.ended:
			return fmt.Errorf("%s ended: %s", filepath.Base(s.command.Path), lastLine(log))
		default:
		}
		if err := pause.For(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("%s does not listen: %w", filepath.Base(s.command.Path), err)
		}
	}
	return nil
}

// Close ends the server.
func (s *server) Close() error {
	_ = s.command.Process.Kill()
	<-s.ended
	return nil
}

// Close ends the servers. Their machine has ended.
func (s servers) Close() error {
	var errs []error
	for _, server := range s {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// folderArguments returns QEMU's arguments for the folders of the machine in dir.
// virtiofsd reads and writes the guest's memory, which is shared: see memoryArguments.
func folderArguments(dir string) ([]string, error) {
	content, err := os.ReadFile(filepath.Join(dir, foldersFile))
	if err != nil {
		return nil, err
	}
	tags := strings.Fields(string(content))
	if len(tags) == 0 {
		return nil, nil
	}
	var out []string
	for n, tag := range tags {
		out = append(out,
			"-chardev", fmt.Sprintf("socket,id=char-fs%d,path=%s", n, folderSocket(dir, n)),
			"-device", fmt.Sprintf("vhost-user-fs-pci,queue-size=1024,chardev=char-fs%d,tag=%s", n, tag))
	}
	return out, nil
}
