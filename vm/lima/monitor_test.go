package lima

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// monitorAt serves a monitor that greets each client and sends the answer to each
// line. asked returns the lines that it received.
func monitorAt(t *testing.T, answer map[string]string) (socket string, asked func() []string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sk") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "qmp.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte(`{"QMP": {"version": {}, "capabilities": ["oob"]}}` + "\r\n"))
			for in := bufio.NewScanner(conn); in.Scan(); {
				lines = append(lines, in.Text())
				_, _ = conn.Write([]byte(answer[in.Text()]))
			}
			_ = conn.Close()
		}
	}()
	stop := func() []string {
		_ = listener.Close()
		<-done
		return lines
	}
	t.Cleanup(func() { stop() })
	return socket, stop
}

const (
	begin = `{"execute":"qmp_capabilities"}`
	halt  = `{"execute":"stop"}`
	goOn  = `{"execute":"cont"}`
	fine  = `{"return": {}}` + "\r\n"
	event = `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}` + "\r\n"
)

func TestMonitorExecutesOneCommand(t *testing.T) {
	socket, asked := monitorAt(t, map[string]string{begin: event + fine, halt: event + fine})
	if err := monitor(t.Context(), socket, "stop"); err != nil {
		t.Error(err)
	}
	if got := asked(); !slices.Equal(got, []string{begin, halt}) {
		t.Errorf("QEMU was asked %q", got)
	}
}

func TestMonitorReturnsTheReasonOfARefusal(t *testing.T) {
	socket, _ := monitorAt(t, map[string]string{begin: fine, goOn: `{"error": {"class": "GenericError", "desc": "Resetting the Virtual Machine is required"}}` + "\r\n"})
	if err := monitor(t.Context(), socket, "cont"); err == nil || !strings.Contains(err.Error(), "did not execute cont: Resetting") {
		t.Error(err)
	}
	if err := monitor(t.Context(), socket+".none", "stop"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no QEMU: %v", err)
	}
}

func TestAMachineThatIsNotPausedInTimeIsResumed(t *testing.T) {
	socket, asked := monitorAt(t, map[string]string{begin: fine, goOn: fine}) // stop gets no answer
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := (qemuPlatform{}).pause(ctx, filepath.Dir(socket)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if got := asked(); !slices.Equal(got, []string{begin, halt, begin, goOn}) {
		t.Errorf("QEMU was asked %q", got)
	}
}
