// Package boot is PID 1 of a node. It turns a node image into the machine that a
// node document describes, keeps the node's programs running, and never exits
// before the machine does.
package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/nodeagent/boot/disk"
	"github.com/skiff-dev/skiff/nodeagent/boot/link"
	"github.com/skiff-dev/skiff/nodeagent/boot/module"
	"github.com/skiff-dev/skiff/nodeagent/boot/program"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// dataDir is where the node's own disk is mounted.
const dataDir = "/var"

// stopWait is how long an orderly stop of all programs may take.
const stopWait = 40 * time.Second

// linkWait is how long the network interface may take to appear.
const linkWait = 30 * time.Second

// Power is how the machine ends.
type Power int

// The ways to end the machine.
const (
	PowerOff Power = iota + 1
	PowerRestart
)

// Init is PID 1.
type Init struct {
	journal *journal
	reaper  *program.Reaper
	power   chan Power
	found   *devices
	// sandboxed is true if the kernel is the host's and must not be changed.
	sandboxed bool
	// mounting is held while the root changes: what is mounted below the previous
	// one at that moment would be lost.
	mounting sync.Mutex
}

// Main runs PID 1. It returns only if the kernel refuses to end the machine.
func Main() error {
	power := make(chan Power, 1)
	watchSignals(power)
	i := &Init{journal: newJournal(), reaper: program.NewReaper(), power: power, found: newDevices(), sandboxed: Sandboxed()}
	if i.sandboxed {
		i.found, i.journal.begun = sandboxDevices(), uptime()
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.guard("boot", func() error { return i.boot(ctx) })
	}()
	how := <-power
	i.journal.say(map[Power]string{PowerOff: "power off", PowerRestart: "restart"}[how])
	stop()
	select {
	case <-done:
	case <-time.After(stopWait):
		i.journal.say("not everything stopped in time")
	}
	return i.end(how)
}

// watchSignals handles the signals that busybox's poweroff, halt and reboot and the
// kernel's Ctrl-Alt-Del send to an init.
func watchSignals(power chan<- Power) {
	asked := make(chan os.Signal, 4)
	signal.Notify(asked, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPWR, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for s := range asked {
			how := PowerOff
			if s == syscall.SIGTERM || s == syscall.SIGINT {
				how = PowerRestart
			}
			select {
			case power <- how:
			default: // the machine is already ending
			}
		}
	}()
}

// guard runs a part of PID 1. Neither an error nor a panic in it ends PID 1: the
// node stays reachable and reports the problem.
func (i *Init) guard(name string, part func() error) {
	defer func() {
		if r := recover(); r != nil {
			i.journal.problem(fmt.Sprintf("%s: panic: %v\n%s", name, r, debug.Stack()))
		}
	}()
	if err := part(); err != nil && !errors.Is(err, context.Canceled) {
		i.journal.problem(fmt.Sprintf("%s: %v", name, err))
	}
}

// boot starts the node's programs on the mounted root and supervises them until ctx
// ends.
func (i *Init) boot(ctx context.Context) error {
	if err := mountSystem(i.sandboxed); err != nil {
		return err
	}
	i.journal.step("mounts", "")
	// The disk and the document are on different devices.
	data := make(chan struct{})
	go i.guard("disk", func() error { return i.mountData(ctx, data) })
	node, raw, err := i.waitSeed(ctx)
	if err != nil {
		return err
	}
	i.journal.step("document", node.Cluster+"/"+node.Name)
	if err := i.identify(ctx, node, raw); err != nil {
		return err
	}
	i.journal.step("network", node.Network.Address.String())
	go i.guard("kernel", i.prepareKernel)
	ready := make(chan struct{})
	go i.guard("folders", func() error { return i.mountFolders(ctx, node.Folders, data, ready) })
	return i.supervise(ctx, node, ready)
}

// prepareKernel does what can wait until the node answers. If a program needs a
// module earlier, the kernel loads it on demand.
func (i *Init) prepareKernel() error {
	if i.sandboxed {
		defer i.journal.step("kernel", "")
		return applySysctls(ownSysctls())
	}
	failed := applySysctls(sysctls)
	failed = errors.Join(failed, i.loadModules("late"), applySysctls(moduleSysctls), i.mountLate())
	i.journal.step("kernel", "")
	go i.guard("power button", i.watchButton)
	return failed
}

func (i *Init) mountLate() error {
	i.mounting.Lock()
	defer i.mounting.Unlock()
	return mountAll(lateMounts)
}

// loadModules loads the modules in one of the image's lists.
func (i *Init) loadModules(list string) error {
	loader, err := newLoader()
	if err != nil {
		return err
	}
	names, err := os.ReadFile(filepath.Join(moduleListDir, list))
	if err != nil {
		return err
	}
	return loader.Load(strings.Fields(string(names))...)
}

func newLoader() (*module.Loader, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	return module.NewLoader("/lib/modules/" + unix.ByteSliceToString(name.Release[:]))
}

// mountData mounts the node's own disk and then closes ready. If that fails, a
// tmpfs takes its place, so that the node still answers and can be repaired. Then
// ready stays open: a control plane that started without its data would form a new
// cluster.
func (i *Init) mountData(ctx context.Context, ready chan<- struct{}) error {
	device, err := "the host's", error(nil)
	if !i.sandboxed {
		device, err = i.found.data(ctx)
	}
	if err == nil && !i.sandboxed {
		err = disk.Mount(ctx, i.reaper.RunToEnd, device, dataDir)
	}
	if err != nil {
		failed := unix.Mount("tmpfs", dataDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755")
		return errors.Join(err, failed, i.useData())
	}
	if err := i.useData(); err != nil {
		return err
	}
	i.journal.step("disk", device)
	close(ready)
	return nil
}

// useData creates the layout of the data directory and starts to log there.
func (i *Init) useData() error {
	err := makeState()
	i.mounting.Lock()
	defer i.mounting.Unlock()
	// Without it the node works, except for pods with unusual host paths.
	i.guard("writable root", writableRoot)
	return errors.Join(err, i.journal.persist(program.LogFile(nodeconfig.LogDir, sourceInit)))
}

// writeFiles writes the files of the document. The root directory must not be replaced
// meanwhile: a file could not be renamed then, because its old and its new name would be
// looked up in different mounts.
func (i *Init) writeFiles(node *nodeconfig.Node, raw []byte) error {
	i.mounting.Lock()
	defer i.mounting.Unlock()
	return writeIdentity(node, raw)
}

// identify applies the document to the machine.
func (i *Init) identify(ctx context.Context, node *nodeconfig.Node, raw []byte) error {
	if !i.sandboxed {
		if err := setClock(node.Written); err != nil {
			i.journal.problem(err.Error())
		}
	}
	if err := unix.Sethostname([]byte(node.Name)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if err := i.writeFiles(node, raw); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, linkWait)
	defer cancel()
	return link.Up(ctx, node.Network)
}
