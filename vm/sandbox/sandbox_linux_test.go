package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
	"github.com/skiff-dev/skiff/vm/cluster"
	"github.com/skiff-dev/skiff/vm/driver"
	"github.com/skiff-dev/skiff/vm/driver/drivertest"
	"github.com/skiff-dev/skiff/vm/driver/nodetest"
	"github.com/skiff-dev/skiff/vm/image"
	"github.com/skiff-dev/skiff/vm/machine"
)

// envHolder makes the test binary run a machine, "running" or "paused", until it is
// killed.
const envHolder = "SKIFF_TEST_HOLD"

// newRig skips the test where sandboxes cannot run.
func newRig(t *testing.T) *nodetest.Rig {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
	if dir := os.Getenv("SKIFF_IMAGE_DIR"); dir == "" {
		if _, err := image.Read("../../bin/image"); err != nil {
			t.Skipf("no node image, run `make image`: %v", err)
		}
	}
	img := nodetest.Image(t)
	return nodetest.New(t, img, func(ctx context.Context, dir, socket string) (driver.Driver, error) {
		return New(ctx, Config{Dir: dir, Network: socket, Address: cluster.HostAddress(cluster.Default().Network.Nodes), Image: img})
	})
}

func TestSandboxKeepsTheContract(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Subject {
		r := newRig(t)
		return r.Subject(func(t *testing.T, name string) { nodetest.Kill(t, filepath.Join(r.Dir, name, "pid")) })
	})
}

// host returns facts about this host that a machine must not change.
func host(t *testing.T) map[string]string {
	t.Helper()
	facts := map[string]string{}
	for name, command := range map[string]string{
		"mounts":     "cut -d' ' -f3- /proc/self/mountinfo | sort",
		"interfaces": "ls /sys/class/net",
		"routes":     "cat /proc/net/route",
		"sysctls":    "cat /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/random/boot_id",
		"host name":  "uname -n",
		"loops":      "grep -ls sk /sys/block/loop*/loop/backing_file || :",
	} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		facts[name] = string(out)
	}
	return facts
}

func TestMachineIsSeparateAndTheHostIsUnchanged(t *testing.T) {
	before := host(t)
	r := newRig(t)
	start(t, r, "one")
	for what, c := range map[string]struct{ command, want string }{
		"host name":         {"hostname", "one"},
		"PID 1":             {"cat /proc/1/comm", "skiff-init"},
		"image":             {"findmnt -no FSTYPE,OPTIONS /usr | cut -d, -f1", "erofs  ro"},
		"address":           {"ip -4 -o addr show eth0 | awk '{print $4}'", "192.168.104.21/24"},
		"kubelet's setting": {"cat /proc/sys/vm/overcommit_memory", "1"},
		"memory":            {"awk '/^MemTotal/{print $2}' /proc/meminfo", strconv.Itoa(768 << 10)},
		"cgroup":            {"cut -d: -f3 /proc/1/cgroup | sed 's,^/init$,/,' | sort -u | head -1", "/"},
		"clock":             {"date -s @0 2>&1 | grep -o 'not permitted'", "not permitted"},
		"gateway":           {"ping -c1 -W2 192.168.104.2 >/dev/null && echo answers", "answers"},
	} {
		if got := strings.TrimSpace(r.Exec(t, "one", c.command)); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
	for name, fact := range host(t) {
		if name != "loops" && fact != before[name] {
			t.Errorf("%s of the host changed from\n%s\nto\n%s", name, before[name], fact)
		}
	}
	if problems := r.Status(t, "one").Problems; len(problems) > 0 {
		t.Errorf("problems: %s", strings.Join(problems, "\n"))
	}
}

func TestFirewallRulesAreReadBackAsTheyWereWritten(t *testing.T) {
	r := newRig(t)
	start(t, r, "one")
	// The service proxy compares its rules with these when it starts again.
	got := r.Exec(t, "one", "nft add table ip t && nft add map ip t m '{ type ipv4_addr . inet_proto . inet_service : verdict; }' && "+
		"nft add element ip t m '{ 10.96.0.1 . tcp . 443 : accept }' && nft --json list map ip t m")
	if !strings.Contains(got, `"10.96.0.1", "tcp", 443`) {
		t.Errorf("a service is read back as %s", got)
	}
}

func TestMachinesReachEachOther(t *testing.T) {
	r := newRig(t)
	start(t, r, "one")
	start(t, r, "two")
	r.Exec(t, "two", "true")
	if got := r.Exec(t, "one", "ping -c1 -W5 192.168.104.22 >/dev/null && echo answers"); got != "answers\n" {
		t.Errorf("%q", got)
	}
}

func TestDriverDialsMachinesWithoutTheUserModeNetwork(t *testing.T) {
	r := newRig(t)
	start(t, r, "one")
	r.Exec(t, "one", "true")
	m := r.Machine("one")
	address := netip.AddrPortFrom(m.Address.Addr(), nodeconfig.PortNodeAPI).String()
	conn, err := r.Driver.(*Driver).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := conn.LocalAddr().(*net.TCPAddr).IP.String(), "192.168.104.3"; got != want {
		t.Errorf("dialled from %s, want %s", got, want)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Driver.(*Driver).DialContext(canceled, "tcp", address); err == nil {
		t.Error("a dial with a cancelled context succeeded")
	}
}

func TestDriverDialsAddressesBehindMachines(t *testing.T) {
	r := newRig(t)
	start(t, r, "one")
	r.Exec(t, "one", "ip addr add 10.244.7.5/32 dev lo")
	d, via := r.Driver.(*Driver), r.Machine("one").Address.Addr()
	// Nothing listens there, so the machine refuses what reaches it.
	reached := func(network string) bool {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		conn, err := d.DialContext(ctx, network, "10.244.7.5:9")
		if err == nil {
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
			_, _ = conn.Write([]byte("x"))
			_, err = conn.Read(make([]byte, 1))
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	routes := []machine.Route{
		{Destination: netip.MustParsePrefix("10.244.7.0/24"), Via: via},
		{Destination: netip.MustParsePrefix("192.168.104.240/32"), Via: via},
	}
	for _, step := range []struct {
		routes []machine.Route
		want   bool
	}{{nil, false}, {routes, true}, {routes, true}, {routes[1:], false}} {
		if err := d.SetRoutes(step.routes); err != nil {
			t.Fatal(err)
		}
		for _, network := range []string{"tcp", "udp"} {
			if got := reached(network); got != step.want {
				t.Errorf("with routes %v, %s reached: %t", step.routes, network, got)
			}
		}
	}
}

func TestRestartGivesANewBootIDAndTheLatestSeed(t *testing.T) {
	r := newRig(t)
	start(t, r, "one")
	var document map[string]any
	if err := json.Unmarshal(r.Machine("one").Seed, &document); err != nil {
		t.Fatal(err)
	}
	document["host"] = map[string]any{"search": []string{"later.test"}}
	seed, err := json.Marshal(document)
	if err == nil {
		err = r.Driver.Reseed(t.Context(), "one", seed)
	}
	if err != nil {
		t.Fatal(err)
	}
	first := r.Status(t, "one").BootID
	r.Power(t, "one", nodeapi.PowerActionRestart)
	for deadline := time.Now().Add(time.Minute); r.Status(t, "one").BootID == first; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not restart")
		}
	}
	if state, err := r.Driver.State(t.Context(), "one"); err != nil || state != machine.StateRunning {
		t.Errorf("%s, %v", state, err)
	}
	if got := r.Exec(t, "one", "cat /etc/resolv.conf"); !strings.Contains(got, "search later.test") {
		t.Errorf("it booted with the seed of its start:\n%s", got)
	}
}

func TestNothingIsLeftWhenTheDaemonIsKilled(t *testing.T) {
	if how := os.Getenv(envHolder); how != "" {
		hold(t, how)
		return
	}
	if err := Available(); err != nil {
		t.Skip(err)
	}
	t.Run("running", func(t *testing.T) { testHolderIsKilled(t, "running") })
	t.Run("paused", func(t *testing.T) { testHolderIsKilled(t, "paused") })
}

// testHolderIsKilled kills a process whose machine is running or paused.
func testHolderIsKilled(t *testing.T, how string) {
	before := host(t)
	holder := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestNothingIsLeftWhenTheDaemonIsKilled$", "-test.v")
	holder.Env = append(os.Environ(), envHolder+"="+how)
	output, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	var pid int
	text := make([]byte, 4096)
	for filled := 0; dir == ""; {
		n, err := output.Read(text[filled:])
		filled += n
		if _, rest, ok := strings.Cut(string(text[:filled]), "holding "); ok && strings.Contains(rest, "\n") {
			_, _ = fmt.Sscan(rest, &dir, &pid)
		}
		if err != nil {
			t.Skipf("the process did not start its machine: %s", text[:filled])
		}
	}
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(dir)) })
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	ended := func() bool { return syscall.Kill(pid, 0) != nil }
	if how == "running" {
		waitFor(t, "the machine's first process to end", ended)
	}
	if err := EndStray(dir); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the machine's first process to end", ended)
	g, err := newGroups(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range g.all() {
		if _, err := os.Stat(filepath.Join(h.mount, g.name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("cgroup left in %s: %v", h.mount, err)
		}
	}
	waitFor(t, "the host to be unchanged", func() bool {
		for name, fact := range host(t) {
			if fact != before[name] {
				return false
			}
		}
		return true
	})
}

// hold runs a machine and never returns.
func hold(t *testing.T, how string) {
	r := newRig(t)
	start(t, r, "one")
	r.Exec(t, "one", "true")
	if how == "paused" {
		if err := r.Driver.Pause(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(filepath.Join(r.Dir, "one", "pid"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("holding %s %s\n", r.Dir, content)
	time.Sleep(time.Hour)
}

func start(t *testing.T, r *nodetest.Rig, name string) {
	t.Helper()
	m := r.Machine(name)
	if err := r.Driver.Create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := r.Driver.Start(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}

func TestLimitsOfTheHostAreRaisedAndNeverLowered(t *testing.T) {
	if err := Available(); err != nil {
		t.Skip(err)
	}
	const path = "/proc/sys/fs/inotify/max_user_instances"
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(path, before, 0o644) })
	for _, test := range []struct{ set, want string }{{"128", "8192"}, {"100000", "100000"}} {
		if err := os.WriteFile(path, []byte(test.set), 0o644); err != nil {
			t.Skip(err)
		}
		if err := raiseLimits(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(got)) != test.want {
			t.Errorf("%s became %s, want %s (%v)", test.set, got, test.want, err)
		}
	}
}
