package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/internal/boundedlog"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/process"
	"github.com/skiff-dev/skiff/vm/machine"
)

// maxConsole limits a machine's console log, in bytes; it takes at most twice as
// much.
const maxConsole = 8 << 20

// run starts a machine and returns once its own first program runs.
func (d *Driver) run(ctx context.Context, m machine.Machine) (*process.Process, error) {
	command, err := d.launch(ctx, m)
	if err != nil {
		return nil, errors.Join(err, d.groups.remove(m.Name))
	}
	life, stop := context.WithCancel(context.Background())
	return process.Follow(stop, func() error {
		end := d.keep(life, m, command)
		if err := errors.Join(d.groups.remove(m.Name), os.Remove(d.pidFile(m.Name))); err != nil && end == nil {
			end = &driver.ExitError{Reason: err.Error()}
		}
		return end
	}), nil
}

// keep waits until the machine has ended, and starts it again if it asked to be
// restarted.
func (d *Driver) keep(life context.Context, m machine.Machine, command *first) error {
	for {
		killed := make(chan struct{})
		spare := context.AfterFunc(life, func() {
			defer close(killed)
			_ = command.Process.Kill()
			d.groups.release(m.Name)
		})
		command.wait()
		if !spare() {
			<-killed // before another machine of that name can start
		}
		switch end := command.ProcessState.Sys().(syscall.WaitStatus); {
		case life.Err() != nil:
			return nil
		// reboot(2): the parent of a PID namespace's first process learns from the
		// signal that ended it whether it asked for a halt or a restart.
		case end.Signaled() && end.Signal() == unix.SIGINT:
			return nil
		case !end.Signaled() || end.Signal() != unix.SIGHUP:
			return &driver.ExitError{Reason: reason(command.ProcessState.String(), d.console(m.Name))}
		}
		if err := d.groups.remove(m.Name); err != nil {
			return &driver.ExitError{Reason: err.Error()}
		}
		var err error
		if command, err = d.launch(life, d.latest(m)); err != nil {
			return &driver.ExitError{Reason: "restart: " + err.Error()}
		}
	}
}

// launch starts the machine's first process and gives it what it needs.
func (d *Driver) launch(ctx context.Context, m machine.Machine) (started *first, err error) {
	if err := d.groups.create(m); err != nil {
		return nil, err
	}
	if err := keepConsole(d.console(m.Name)); err != nil {
		return nil, err
	}
	log, err := boundedlog.Open(d.console(m.Name), maxConsole)
	if err != nil {
		return nil, err
	}
	console := log.Lossy()
	defer func() {
		if err != nil {
			_ = console.Close()
		}
	}()
	status, said, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = status.Close() }()
	command := &exec.Cmd{
		Path: filepath.Join(d.root(m.Name), nodeconfig.InitPath), Args: []string{nodeconfig.InitPath, nodeconfig.ModeSandbox},
		Env: []string{}, Dir: "/",
		Stdout: console, Stderr: console, ExtraFiles: []*os.File{said},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
			Setsid:     true, Pdeathsig: syscall.SIGKILL,
		},
	}
	stdin, err := command.StdinPipe()
	if err == nil {
		err = d.thread.do(command.Start)
	}
	_ = said.Close()
	if err != nil {
		return nil, err
	}
	if err := d.equip(ctx, m, command.Process.Pid, stdin, status); err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
		return nil, err
	}
	return &first{command, console}, nil
}

// first is the first process of a machine.
type first struct {
	*exec.Cmd
	console io.Closer
}

// wait waits until the process has ended and its console log is complete. The
// process state holds how it ended.
func (f *first) wait() {
	_ = f.Wait()
	_ = f.console.Close()
}

// equip gives a first process its cgroups, link and configuration, and returns
// when it has become the machine's own program.
func (d *Driver) equip(ctx context.Context, m machine.Machine, pid int, stdin io.WriteCloser, status *os.File) error {
	defer func() { _ = stdin.Close() }()
	if err := d.groups.enter(m.Name, pid); err != nil {
		return err
	}
	if err := d.wire.plug(pid, m.MAC); err != nil {
		return err
	}
	if err := os.WriteFile(d.pidFile(m.Name), []byte(strconv.Itoa(pid)), 0o600); err != nil {
		return err
	}
	sandbox := nodeconfig.Sandbox{Root: d.root(m.Name), Data: d.data(m.Name), Document: m.Seed}
	for _, f := range m.Folders {
		sandbox.Folders = append(sandbox.Folders, nodeconfig.HostFolder{Host: f.Host, ReadOnly: f.ReadOnly})
	}
	if err := json.NewEncoder(stdin).Encode(sandbox); err != nil {
		return fmt.Errorf("send the machine its configuration: %w", err)
	}
	interrupt := context.AfterFunc(ctx, func() { _ = status.SetReadDeadline(time.Now()) })
	defer interrupt()
	said, err := io.ReadAll(status)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(said) > 0 {
		err = errors.New(string(said))
	}
	return err
}

// keepConsole keeps the console log of the previous run.
func keepConsole(log string) error {
	if err := os.Rename(log, log+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// reason returns how a process ended and the last line of its console.
func reason(state, console string) string {
	content, err := os.ReadFile(console)
	if err != nil || len(content) == 0 {
		return state
	}
	lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	last := lines[len(lines)-1]
	return state + ": " + string(last[:min(len(last), 300)])
}
