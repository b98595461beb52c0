package lima

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lima-vm/lima/v2/pkg/limatype/filenames"

	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/process"
	"github.com/skiff-dev/skiff/vm/machine"
)

// recorder keeps what was reported: a reason, or nothing for a machine that runs.
type recorder chan string

func (r recorder) Stall(reason string) { r <- reason }
func (r recorder) Unstall()            { r <- "" }

func blockErrorEvent(action, noSpace string) string {
	return `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "BLOCK_IO_ERROR", "data": {"device": "", "node-name": "#block1", "operation": "write", "action": "` + action + `", "nospace": ` + noSpace + `, "reason": "No space left on device"}}` + "\r\n"
}

func statusIs(status string) string {
	return `{"return": {"running": false, "singlestep": false, "status": "` + status + `"}}` + "\r\n"
}

const (
	query  = `{"execute":"query-status"}`
	resume = `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}` + "\r\n"
)

func TestEventsReportMachinesThatStopBecauseOfTheirDisks(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		want   []string
	}{
		"full disk, then room":        {statusIs("running") + blockErrorEvent("stop", "true") + event + resume, []string{driver.StallNoSpace, ""}},
		"broken disk":                 {statusIs("running") + blockErrorEvent("stop", "false"), []string{driver.StallDiskError}},
		"error that the guest gets":   {statusIs("running") + blockErrorEvent("report", "true"), nil},
		"pause by the user":           {statusIs("running") + event, nil},
		"stopped before anyone heard": {statusIs("io-error"), []string{driver.StallDiskError}},
	} {
		t.Run(name, func(t *testing.T) {
			socket, _ := monitorAt(t, map[string]string{begin: fine, query: test.answer})
			reports := make(recorder, 10)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			followed := make(chan error, 1)
			go func() { followed <- followEvents(ctx, socket, reports) }()
			for _, want := range test.want {
				if got := <-reports; got != want {
					t.Errorf("reported %q, want %q", got, want)
				}
			}
			time.Sleep(20 * time.Millisecond)
			cancel()
			if err := <-followed; err != nil {
				t.Error(err)
			}
			if len(reports) > 0 {
				t.Errorf("reported %q as well", <-reports)
			}
		})
	}
}

func TestAStalledMachineIsPausedUntilItIsResumed(t *testing.T) {
	var table process.Table
	life, stop := context.WithCancel(t.Context())
	defer stop()
	p := process.Follow(stop, func() error { <-life.Done(); return nil })
	table.Add("worker-1", p)
	p.Stall(driver.StallNoSpace)
	if got := table.State("worker-1", false); got != machine.StatePaused {
		t.Errorf("state %s", got)
	}
	if got := table.Stalled("worker-1"); got != driver.StallNoSpace {
		t.Errorf("reason %q", got)
	}
	full := errors.New("still full")
	if err := table.Resume("worker-1", func() error { return full }); !errors.Is(err, full) || table.Stalled("worker-1") == "" {
		t.Errorf("%v, stalled %q", err, table.Stalled("worker-1"))
	}
	// QEMU resumes and stops again at once.
	if err := table.Resume("worker-1", func() error { p.Stall(driver.StallNoSpace); return nil }); err != nil || table.Stalled("worker-1") == "" {
		t.Errorf("%v, stalled %q", err, table.Stalled("worker-1"))
	}
	if err := table.Resume("worker-1", func() error { return nil }); err != nil {
		t.Error(err)
	}
	if got := table.State("worker-1", false); got != machine.StateRunning || table.Stalled("worker-1") != "" {
		t.Errorf("state %s, stalled %q", got, table.Stalled("worker-1"))
	}
}

// shortDir is a directory for sockets, whose paths must be short.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestARealQEMUIsConfinedAndFollowed starts QEMU without a guest.
func TestARealQEMUIsConfinedAndFollowed(t *testing.T) {
	program, err := exec.LookPath("qemu-system-x86_64")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("needs qemu-system-x86_64 on Linux")
	}
	if !canConfine(t.Context(), "amd64") {
		t.Fatal("this QEMU has no seccomp filter")
	}
	socket := filepath.Join(shortDir(t), eventsSock)
	qemu := exec.Command(program, append([]string{"-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,accel=tcg", "-m", "32",
		"-chardev", "socket,id=char-events,path=" + socket + ",server=on,wait=off", "-qmp", "chardev:char-events"}, confinement...)...)
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = qemu.Process.Kill()
		_ = qemu.Wait()
	}()
	for !exists(socket) {
		time.Sleep(5 * time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reports := make(recorder, 10)
	followed := make(chan error, 1)
	go func() { followed <- followEvents(ctx, socket, reports) }()
	time.Sleep(200 * time.Millisecond)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", qemu.Process.Pid))
	if err != nil || !strings.Contains(string(status), "Seccomp:\t2") {
		t.Errorf("QEMU runs without a seccomp filter: %v", err)
	}
	cancel()
	if err := <-followed; err != nil {
		t.Error(err)
	}
}

func TestTheConsoleLogIsBoundedAndKeepsThePreviousRun(t *testing.T) {
	dir := shortDir(t)
	log := filepath.Join(dir, "serial.log")
	if err := os.WriteFile(log, []byte("previous run"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := openConsole(dir)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(log + ".1"); err != nil || string(kept) != "previous run" {
		t.Errorf("kept %q, %v", kept, err)
	}
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(log); err != nil { // as Lima does when it starts a machine
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", filepath.Join(dir, consoleSock))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * maxConsole / (1 << 20) {
		if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, name := range []string{log, log + ".1"} {
		if info, err := os.Stat(name); err != nil || info.Size() > maxConsole {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if content, err := os.ReadFile(log); err != nil || !strings.HasSuffix(string(content), "last words") {
		t.Errorf("the end is missing: %v", err)
	}
}

// Lima deletes its own serial socket when it starts a machine.
func TestTheConsolesSocketIsNotOneThatLimaDeletes(t *testing.T) {
	if consoleSock == filenames.SerialSock {
		t.Errorf("the console listens on %s", filenames.SerialSock)
	}
}

func TestAConsoleOfAMachineThatNeverConnectsCloses(t *testing.T) {
	c, err := openConsole(shortDir(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
