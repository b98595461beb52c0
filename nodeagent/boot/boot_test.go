package boot

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestMachineIDIsStableAndUnique(t *testing.T) {
	id := machineID("dev", "worker-1")
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		t.Errorf("%q is not a machine ID", id)
	}
	if id != machineID("dev", "worker-1") {
		t.Error("it changes")
	}
	if id == machineID("dev", "worker-2") || id == machineID("test", "worker-1") {
		t.Error("two nodes share it")
	}
}

func TestHostsNamesEveryMachineOnce(t *testing.T) {
	node := &nodeconfig.Node{Name: "worker-1", Network: nodeconfig.Network{Address: netip.MustParsePrefix("192.168.104.21/24")}}
	if text := hosts(node); strings.Count(text, "192.168.104.21 worker-1\n") != 1 {
		t.Errorf("without a list: %s", text)
	}
	node.Network.Hosts = []nodeconfig.Peer{
		{Name: "control-plane-1", Address: netip.MustParseAddr("192.168.104.11")},
		{Name: "worker-1", Address: netip.MustParseAddr("192.168.104.21")},
	}
	text := hosts(node)
	if strings.Count(text, "worker-1") != 1 || !strings.Contains(text, "192.168.104.11 control-plane-1\n") {
		t.Errorf("with a list: %s", text)
	}
}

func TestResolvConfHasEveryServerAndTheHostsSearchDomains(t *testing.T) {
	servers := []netip.Addr{netip.MustParseAddr("192.168.104.2"), netip.MustParseAddr("9.9.9.9")}
	if got, want := resolvConf(servers, nil), "nameserver 192.168.104.2\nnameserver 9.9.9.9\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := resolvConf(servers[:1], []string{"corp.test", "lab.test"}), "nameserver 192.168.104.2\nsearch corp.test lab.test\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestControlPlaneRunsOnlyOnControlPlanesAndFirst(t *testing.T) {
	names := func(role nodeconfig.Role) (list []string) {
		for _, spec := range specs(&nodeconfig.Node{Role: role}, nil) {
			list = append(list, spec.Name)
		}
		return list
	}
	if got := names(nodeconfig.RoleControlPlane); got[0] != programControlPlane {
		t.Errorf("%v", got)
	}
	if got := names(nodeconfig.RoleWorker); slices.Contains(got, programControlPlane) {
		t.Errorf("%v", got)
	}
}

func TestOnlyTheDisksMountPointsAreUnmounted(t *testing.T) {
	const mountinfo = `22 1 254:16 /lib/skiff/root / rw,relatime shared:1 - ext4 /dev/vdb rw
29 22 254:0 /usr /usr ro,relatime shared:1 - erofs /dev/vda ro
23 22 0:21 / /proc rw - proc proc rw
30 22 254:16 / /var rw shared:5 - ext4 /dev/vdb rw
31 30 0:40 / /var/lib/kubelet/pods/a\040b rw shared:9 - tmpfs tmpfs rw
`
	targets := mountTargets(mountinfo)
	want := []string{"/", "/proc", "/var", "/var/lib/kubelet/pods/a b"}
	if !slices.Equal(targets, want) {
		t.Errorf("%q, want %q", targets, want)
	}
	var unmounted []string
	for _, target := range targets {
		if holdsDisk(target) {
			unmounted = append(unmounted, target)
		}
	}
	if !slices.Equal(unmounted, want[2:]) {
		t.Errorf("unmounted would be %q", unmounted)
	}
}

func TestOnlyPressingThePowerKeyPowersOff(t *testing.T) {
	event := func(kind, code uint16, value uint32) []byte {
		b := make([]byte, eventSize)
		binary.NativeEndian.PutUint16(b[16:], kind)
		binary.NativeEndian.PutUint16(b[18:], code)
		binary.NativeEndian.PutUint32(b[20:], value)
		return b
	}
	if !powerPressed(event(eventKey, keyPower, pressed)) {
		t.Error("a press was missed")
	}
	for _, other := range [][]byte{event(eventKey, keyPower, 0), event(eventKey, 30, pressed), event(0, 0, 0)} {
		if powerPressed(other) {
			t.Errorf("%v counted", other)
		}
	}
}

func TestAFailedPartDoesNotEndPID1(t *testing.T) {
	i := &Init{journal: newJournal()}
	i.journal.console, i.journal.path = &strings.Builder{}, filepath.Join(t.TempDir(), "state")
	i.guard("a", func() error { return errors.New("broken") })
	i.guard("b", func() error { panic("worse") })
	problems := strings.Join(i.journal.state.Problems, "\n")
	if !strings.Contains(problems, "a: broken") || !strings.Contains(problems, "b: panic: worse") {
		t.Errorf("problems: %s", problems)
	}
	for range 2 * maxProblems {
		i.journal.problem("again")
	}
	if n := len(i.journal.state.Problems); n != maxProblems {
		t.Errorf("%d problems are kept, want %d", n, maxProblems)
	}
}

func TestJournalKeepsLinesFromBeforeTheDiskIsMounted(t *testing.T) {
	j := newJournal()
	dir := t.TempDir()
	j.console, j.path = &strings.Builder{}, filepath.Join(dir, "state")
	j.step("first", "x")
	path := filepath.Join(dir, "log")
	if err := j.persist(path); err != nil {
		t.Fatal(err)
	}
	j.program(nodeapi.Program{Name: "p", PID: 7})
	j.program(nodeapi.Program{Name: "p", LastExit: "exit code 1"})
	j.close()
	j.say("after")
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != 2 || !strings.Contains(string(text), "first x") {
		t.Errorf("log %q, %v", text, err)
	}
	var state nodeapi.Status
	text, err = os.ReadFile(j.path)
	if err != nil || json.Unmarshal(text, &state) != nil {
		t.Fatalf("state %q, %v", text, err)
	}
	if len(state.Boot) != 1 || len(state.Programs) != 1 || state.Programs[0].LastExit != "exit code 1" {
		t.Errorf("state %s", text)
	}
}

func FuzzMountTargets(f *testing.F) {
	f.Add("22 1 254:0 / /a\\040b ro - erofs /dev/vda ro\n")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		if n := len(mountTargets(mountinfo)); n > strings.Count(mountinfo, "\n")+1 {
			t.Errorf("%d mounts in %q", n, mountinfo)
		}
	})
}

func TestTheBuilderIsWantedOnceSomebodyConnects(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "start")
	for range 2 {
		done := make(chan error, 1)
		go func() { done <- wanted(t.Context(), socket) }()
		for {
			if conn, err := net.Dial("unix", socket); err == nil {
				conn.Close()
				break
			}
			time.Sleep(time.Millisecond)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := wanted(ctx, socket); !errors.Is(err, context.Canceled) {
		t.Errorf("at the end: %v", err)
	}
}
