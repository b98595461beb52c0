package tunnel

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skiff-dev/skiff/vm/network"
)

// apart moves the test to a network namespace of its own. Its thread ends with it.
func apart(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	runtime.LockOSThread() // never unlocked: the runtime ends the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skip("no network namespaces: ", err)
	}
	file, err := open("probe")
	if err != nil {
		t.Skip("no TUN devices: ", err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestADeviceLeavesNothing(t *testing.T) {
	apart(t)
	p := planFor(t, "dev")
	before, err := Routes()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time, it exists
		if err := Create(p, os.Geteuid()); err != nil {
			t.Fatal(err)
		}
	}
	during, err := Routes()
	if err != nil || p.Check(during) != nil || !Exists(p.Device) {
		t.Errorf("routes %v, %v", during, err)
	}
	for _, r := range p.Ranges {
		if !slices.Contains(during, Route{Destination: r.Prefix, Device: p.Device, Alias: p.alias()}) {
			t.Errorf("no route to %s in %v", r.Prefix, during)
		}
	}
	if err := planFor(t, "ci").Check(during); err == nil || !strings.Contains(err.Error(), `overlaps with the cluster "dev"`) {
		t.Errorf("a second cluster with the same addresses: %v", err)
	}
	for range 2 { // the second time, there is none
		if err := Remove(p.Device); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := Routes(); err != nil || !slices.Equal(before, after) || Exists(p.Device) {
		t.Errorf("before %v, after %v, %v", before, after, err)
	}
	if _, err := Open(p.Device); !errors.Is(err, fs.ErrNotExist) || Exists(p.Device) {
		t.Errorf("open without a device: %v", err)
	}
}

// A process that was killed while it created the device leaves one without routes.
func TestAnIncompleteDeviceIsReplaced(t *testing.T) {
	apart(t)
	p := planFor(t, "dev")
	if err := create(p.Device, os.Geteuid()); err != nil {
		t.Fatal(err)
	}
	if err := Create(p, os.Geteuid()); err != nil {
		t.Fatal(err)
	}
	routes, err := Routes()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range p.Ranges {
		if !slices.Contains(routes, Route{Destination: r.Prefix, Device: p.Device, Alias: p.alias()}) {
			t.Errorf("no route to %s in %v", r.Prefix, routes)
		}
	}
}

func TestADeviceThatCannotBeSetUpIsRemoved(t *testing.T) {
	apart(t)
	p := planFor(t, "dev")
	p.Ranges = append(p.Ranges, p.Ranges[0]) // the route exists already
	if err := Create(p, os.Geteuid()); err == nil || Exists(p.Device) {
		t.Errorf("created: %v", err)
	}
}

func TestTheOwnerReleasesADevice(t *testing.T) {
	apart(t)
	p := planFor(t, "dev")
	if err := Create(p, os.Geteuid()); err != nil {
		t.Fatal(err)
	}
	device, err := Open(p.Device)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := Open(p.Device); err == nil {
		t.Error("two processes are attached", second.Close())
	}
	if err := device.Close(); err != nil || !Exists(p.Device) {
		t.Errorf("the device has gone with its process: %v", err)
	}
	for range 2 { // the second time, there is none
		if err := Release(p.Device); err != nil || Exists(p.Device) {
			t.Errorf("released: %v", err)
		}
	}
}

// TestProgramsReachTheCluster attaches to a device twice, as a daemon that was
// restarted, and connects through the kernel.
func TestProgramsReachTheCluster(t *testing.T) {
	apart(t)
	p := planFor(t, "dev")
	if err := Create(p, os.Geteuid()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		device, err := Open(p.Device)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- network.Attach(ctx, network.Attachment{
				Device: device, Host: p.Address, Allows: func(a netip.Addr) bool { return a == netip.MustParseAddr("10.96.0.80") }, Dial: echoing,
			})
		}()
		conn, err := net.DialTimeout("tcp4", "10.96.0.80:80", 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat("much ", 200_000)
		go func() { _, _ = io.WriteString(conn, text) }()
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		got := make([]byte, len(text))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
			t.Errorf("no echo: %v", err)
		}
		_ = conn.Close()
		if conn, err := net.DialTimeout("tcp4", "10.96.0.81:80", 5*time.Second); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("an address that is not allowed: %v, %v", conn, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Attach = %v", err)
		}
	}
}

// echoing connects to a server that sends everything back.
func echoing(context.Context, string, string) (net.Conn, error) {
	inside, outside := net.Pipe()
	go func() {
		_, _ = io.Copy(outside, outside)
		_ = outside.Close()
	}()
	return inside, nil
}

func TestAttachEndsWithTheDevice(t *testing.T) {
	apart(t)
	p := planFor(t, "dev")
	if err := Create(p, os.Geteuid()); err != nil {
		t.Fatal(err)
	}
	device, err := Open(p.Device)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- network.Attach(t.Context(), network.Attachment{Device: device, Host: p.Address, Allows: func(netip.Addr) bool { return false }})
	}()
	if err := Remove(p.Device); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err == nil {
			t.Error("Attach returns no error")
		}
	case <-time.After(time.Minute):
		t.Error("Attach does not return")
	}
}
