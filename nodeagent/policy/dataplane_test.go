package policy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Every way to the engine holds pods to the same, and so does what Run makes of
// the kernel that there is.
func TestEveryWayEnforcesPoliciesAlike(t *testing.T) {
	for _, w := range append(ways(), way{name: "as Run chooses"}) {
		t.Run(w.name, func(t *testing.T) {
			if w.decide != nil {
				if err := takes(w.decide); err != nil {
					t.Skipf("the kernel does not know %s: %v", w.name, err)
				}
			}
			for _, family := range []string{"IPv4", "IPv6"} {
				t.Run(family, func(t *testing.T) { enforces(t, w, family) })
			}
		})
	}
}

// by enforces by a way, or by the one that Run chooses.
func (w way) by(e *Engine) func(context.Context) error {
	if w.decide == nil {
		return e.Run
	}
	return func(ctx context.Context) error { return e.ask(ctx, w.decide) }
}

// here is the first way that this kernel knows.
func here(t *testing.T) way {
	t.Helper()
	for _, w := range ways() {
		if takes(w.decide) == nil {
			return w
		}
	}
	t.Skip("the kernel has neither nft_queue nor xt_NFQUEUE")
	return way{}
}

func enforces(t *testing.T, w way, family string) {
	node, client, server := newNode(t)
	port := server.serve(t, family)
	to, own := netip.AddrPortFrom(server.addresses[family], port), netip.AddrPortFrom(node.addresses[family], node.serve(t, family))
	j := &judge{}
	stop := start(t, w.by(j.engine(filepath.Join(t.TempDir(), "alarm"))))

	// No policy concerns these connections, of which one stays.
	before := passes(t, client, "tcp", to)
	defer func() { _ = before.Close() }()
	if asked := j.questions(); len(asked) > 0 {
		t.Errorf("asked without a policy: %v", asked)
	}

	j.rule(false, server.addresses[family])
	isDenied(t, client, "tcp", to)
	isDenied(t, client, "udp", to)
	staysDenied(t, client, to)
	if asked := j.questions(); len(asked) == 0 || asked[0].DstPort != int(port) || asked[0].DstIP.String() != to.Addr().String() {
		t.Errorf("was asked %v, not about %s", asked, to)
	}
	if err := exchange(before, patience); err != nil {
		t.Errorf("a connection from before the policy is cut off: %v", err)
	}
	_ = passes(t, node, "tcp", to).Close() // the kubelet's probes
	_ = passes(t, client, "tcp", own).Close()

	j.rule(true, server.addresses[family])
	c := passes(t, client, "tcp", to)
	if asked := j.questions(); len(asked) == 0 {
		t.Error("not asked about a connection that a policy concerns")
	}
	j.forget()
	for range 3 {
		if err := exchange(c, patience); err != nil {
			t.Error(err)
		}
	}
	if asked := j.questions(); len(asked) > 0 {
		t.Errorf("asked about a connection that stands: %v", asked)
	}
	_ = c.Close()
	_ = passes(t, client, "udp", to).Close()

	// Packets from whom a policy concerns, also to the node itself.
	j.rule(false, client.addresses[family])
	isDenied(t, client, "tcp", own)
	isDenied(t, client, "tcp", to)
	j.rule(true, client.addresses[family])
	_ = passes(t, client, "tcp", own).Close()
	_ = passes(t, client, "tcp", to).Close()

	j.rule(false, client.addresses[family], server.addresses[family])
	isDenied(t, client, "tcp", to)
	if err := stop(); err != nil {
		t.Error(err)
	}
	_ = passes(t, client, "tcp", to).Close()
	noTables(t)
}

// start runs something until stop is called or the test ends.
func start(t *testing.T, run func(context.Context) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	var result error
	stop = func() error {
		cancel()
		if ended != nil {
			result, ended = <-ended, nil
		}
		return result
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Logf("ended with %v", err)
		}
	})
	eventually(t, "rules", func() error {
		if len(tables(t)) == 0 {
			return errors.New("there are none")
		}
		return nil
	})
	return stop
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func passes(t *testing.T, from netns, protocol string, to netip.AddrPort) (c net.Conn) {
	t.Helper()
	eventually(t, protocol+" to "+to.String(), func() (err error) {
		c, err = from.dial(protocol, to, patience/10)
		return err
	})
	return c
}

func isDenied(t *testing.T, from netns, protocol string, to netip.AddrPort) {
	t.Helper()
	eventually(t, protocol+" to "+to.String(), func() error {
		c, err := from.dial(protocol, to, denial)
		if err != nil {
			return nil
		}
		_ = c.Close()
		return errors.New("it passes")
	})
}

// staysDenied sends several packets of one flow.
func staysDenied(t *testing.T, from netns, to netip.AddrPort) {
	t.Helper()
	var c net.Conn
	from.do(t, func() (err error) {
		c, err = net.Dial("udp", to.String())
		return err
	})
	defer func() { _ = c.Close() }()
	for range 3 {
		if exchange(c, denial) == nil {
			t.Error("what was refused passes when it is sent again")
		}
	}
}

func tables(t *testing.T) []string {
	t.Helper()
	kernel, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	all, err := kernel.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, table := range all {
		names = append(names, table.Name)
	}
	return names
}

func noTables(t *testing.T) {
	t.Helper()
	if left := tables(t); len(left) > 0 {
		t.Errorf("tables left: %v", left)
	}
}

func TestProbingTheKernelLeavesNothingBehind(t *testing.T) {
	newNode(t)
	for _, w := range ways() {
		if err := takes(w.decide); err != nil && !errors.Is(err, unix.ENOENT) {
			t.Errorf("%s: %v", w.name, err)
		}
		noTables(t)
	}
	if err := takes(refusal()); err != nil {
		t.Error(err)
	}
	noTables(t)
}

func TestPacketsAreDroppedWithoutAReader(t *testing.T) {
	_, client, server := newNode(t)
	w := here(t)
	to := netip.AddrPortFrom(server.addresses["IPv4"], server.serve(t, "IPv4"))
	rules := ruleset{addresses: []netip.Addr{to.Addr()}, decide: w.decide}
	if err := rules.apply(); err != nil {
		t.Fatal(err)
	}
	isDenied(t, client, "tcp", to)
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	_ = passes(t, client, "tcp", to).Close()
	noTables(t)
}

func TestAFailedReaderLeavesTheRules(t *testing.T) {
	newNode(t)
	here(t)
	first, second := (&judge{}).engine(""), (&judge{}).engine(filepath.Join(t.TempDir(), "alarms", "test"))
	_, stop, err := first.read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = second.Run(t.Context()) // the queue has its reader
	stop()
	if err == nil || len(tables(t)) == 0 {
		t.Errorf("ended with %v and %v", err, tables(t))
	}
	said, _ := os.ReadFile(second.alarmFile)
	if text := string(said); !strings.HasPrefix(text, "NetworkPolicies do not work: ") || strings.Count(text, "\n") != 1 {
		t.Errorf("the user reads %q", text)
	}
	if err := start(t, second.Run)(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(second.alarmFile); err == nil {
		t.Error("the alarm stays")
	}
	noTables(t)
}

func TestAKernelWithoutQueuesRefusesConnectionsAndAlarms(t *testing.T) {
	_, client, server := newNode(t)
	to := netip.AddrPortFrom(server.addresses["IPv4"], server.serve(t, "IPv4"))
	j := &judge{}
	e := j.engine(filepath.Join(t.TempDir(), "alarms", "test"))
	stop := start(t, e.refuse)
	_ = passes(t, client, "tcp", to).Close()
	j.rule(true, to.Addr())
	isDenied(t, client, "tcp", to)
	said, err := os.ReadFile(e.alarmFile)
	if err != nil || !strings.Contains(string(said), "NFQUEUE") {
		t.Errorf("the user reads %q, %v", said, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	noTables(t)
}

// A pod may write what it likes behind an IP header.
func TestAMalformedPacketDoesNotEndTheReader(t *testing.T) {
	_, client, server := newNode(t)
	w := here(t)
	to := netip.AddrPortFrom(server.addresses["IPv4"], server.serve(t, "IPv4"))
	j := &judge{}
	start(t, w.by(j.engine("")))
	j.rule(false, to.Addr())
	isDenied(t, client, "tcp", to)
	j.rule(true, to.Addr())
	client.do(t, func() error {
		raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(raw) }()
		return unix.Sendto(raw, []byte{0}, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
	})
	_ = passes(t, client, "tcp", to).Close()
}

func TestAMalformedPacketIsDenied(t *testing.T) {
	e := (&judge{allow: true}).engine("")
	// An IPv4 header that announces TCP, of which it has one byte.
	packet := make([]byte, 21)
	packet[0], packet[9] = 0x45, unix.IPPROTO_TCP
	for size := range len(packet) + 1 {
		if e.allows(t.Context(), packet[:size]) {
			t.Errorf("%d bytes are allowed", size)
		}
	}
}

// Packets come from pods, which may send anything.
func FuzzAllows(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, unix.IPPROTO_TCP, 0, 0, 10, 244, 0, 2, 10, 244, 0, 3, 0, 80, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2})
	f.Add([]byte{0x60, 0, 0, 0, 0, 8, unix.IPPROTO_UDP, 64})
	f.Fuzz(func(t *testing.T, headers []byte) {
		if (&judge{allow: false}).engine("").allows(t.Context(), headers) {
			t.Error("allowed against the policy")
		}
	})
}
