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
	"github.com/skiff-dev/skiff/vm/network"
	"github.com/skiff-dev/skiff/vm/network/impair"
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
	img, nodes := nodetest.Image(t), cluster.Default().Network.Nodes
	return nodetest.New(t, img, func(ctx context.Context, dir, socket string) (driver.Driver, error) {
		return New(ctx, Config{Dir: dir, Network: socket, Address: cluster.HostAddress(nodes), Gateway: network.Gateway(nodes), Image: img})
	})
}

func TestSandboxKeepsTheContract(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Subject {
		r := newRig(t)
		return r.Subject(func(t *testing.T, name string) { nodetest.Kill(t, filepath.Join(r.Dir, name, "pid")) })
	})
}

func TestMachinesHaveTheRootsOfTheirOwnImages(t *testing.T) {
	r := newRig(t)
	d := r.Driver.(*Driver)
	first := r.Machine("one")
	second := r.Machine("two")
	copied := filepath.Join(t.TempDir(), "root.erofs")
	if out, err := exec.CommandContext(t.Context(), "cp", second.Image.Root, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	second.Image.Digest, second.Image.Root = "sha256:other", copied
	for _, m := range []machine.Machine{first, second} {
		if err := errors.Join(d.Create(t.Context(), m), d.Start(t.Context(), m)); err != nil {
			t.Fatal(err)
		}
	}
	mounted := func() int {
		d.roots.mu.Lock()
		defer d.roots.mu.Unlock()
		return len(d.roots.mounted)
	}
	if d.root("one") == d.root("two") || mounted() != 2 {
		t.Errorf("%s and %s, %d mounted", d.root("one"), d.root("two"), mounted())
	}
	if err := d.Stop(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	moved := first
	moved.Image = second.Image
	if err := d.Start(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if d.root("one") != d.root("two") || mounted() != 1 {
		t.Errorf("%s and %s, %d mounted", d.root("one"), d.root("two"), mounted())
	}
	broken := second.Image
	broken.Digest, broken.Root = "sha256:broken", filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken.Root, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	second.Image = broken
	if err := d.Start(t.Context(), second); err == nil || !strings.Contains(err.Error(), "mount the node image") {
		t.Errorf("an image that cannot be mounted: %v", err)
	}
	if state, err := d.State(t.Context(), "two"); err != nil || state != machine.StateStopped {
		t.Errorf("its machine is %s, %v", state, err)
	}
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
	delete(before, "loops")
	awaitUnchanged(t, before)
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
	awaitUnchanged(t, before)
}

// awaitUnchanged waits until the host has nothing more than before. What other tests use for
// a moment may come and go.
func awaitUnchanged(t *testing.T, before map[string]string) {
	t.Helper()
	var more []string
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		more = nil
		after := host(t)
		for name, fact := range before {
			had := map[string]int{}
			for line := range strings.Lines(fact) {
				had[line]++
			}
			for line := range strings.Lines(after[name]) {
				if had[line]--; had[line] < 0 {
					more = append(more, name+": "+line)
				}
			}
		}
		if len(more) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the host has changed:\n%s", strings.Join(more, ""))
		}
	}
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
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
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

// An impaired machine's frames pass this process, also after it was started again. A ping
// is answered by the kernel of the other machine.
func TestImpairedLinksOfMachines(t *testing.T) {
	r := newRig(t)
	start(t, r, "one")
	start(t, r, "two")
	r.Exec(t, "two", "true")
	impaired := func(link impair.Link) {
		t.Helper()
		links := impair.Links{}
		if link != (impair.Link{}) {
			links[r.Machine("one").Address.Addr()] = link
		}
		if err := r.Driver.(*Driver).Impair(links); err != nil {
			t.Fatal(err)
		}
	}
	const ping = "ping -c1 -W1 192.168.104.22 >/dev/null && echo answers || echo silent"
	for _, step := range []struct {
		what string
		link impair.Link
		want string
	}{
		{"good", impair.Link{}, "answers"}, {"cut", impair.Link{Cuts: 1}, "silent"}, {"slow", impair.Link{Delay: 20 * time.Millisecond}, "answers"},
		{"lossy", impair.Link{Loss: 1}, "silent"}, {"good again", impair.Link{}, "answers"}, {"cut again", impair.Link{Cuts: 1}, "silent"},
	} {
		impaired(step.link)
		if got := strings.TrimSpace(r.Exec(t, "one", ping)); got != step.want {
			t.Errorf("%s: %s, want %s", step.what, got, step.want)
		}
	}
	if err := r.Driver.Stop(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	start(t, r, "one")
	if got := strings.TrimSpace(r.Exec(t, "one", ping)); got != "silent" {
		t.Errorf("cut, after another start: %s", got)
	}
	impaired(impair.Link{})
	if got := strings.TrimSpace(r.Exec(t, "one", ping)); got != "answers" {
		t.Errorf("good, after another start: %s", got)
	}
}
