package policy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/network"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

const (
	// patience is for what must happen, denial for what must not.
	patience = 30 * time.Second
	denial   = 300 * time.Millisecond
)

// nodeProcess tells the test that it runs in a network namespace of its own, with all
// its threads: rules apply to the whole namespace.
const nodeProcess = "SKIFF_TEST_POLICY_NODE"

func TestMain(m *testing.M) {
	fuzzing := slices.ContainsFunc(os.Args, func(arg string) bool { return strings.HasPrefix(arg, "-test.fuzz") })
	if os.Getenv(nodeProcess) != "" || fuzzing { // a fuzzer's workers have descriptors of its own
		os.Exit(m.Run())
	}
	again := exec.Command("/proc/self/exe", os.Args[1:]...)
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	again.Env = append(os.Environ(), nodeProcess+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := again.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil { // without the privilege
		os.Exit(m.Run())
	}
}

// netns is a pod, that is, a network namespace with a link to the node, or the node
// itself, whose namespace is nil.
type netns struct {
	namespace *os.File
	addresses map[string]netip.Addr // by "IPv4" and "IPv6"
}

// node is the namespace that the test runs in, which forwards between two pods.
func newNode(t *testing.T) (node, client, server netns) {
	t.Helper()
	if os.Getenv(nodeProcess) == "" {
		t.Skip("the kernel gives no network namespace; root has one")
	}
	for path, value := range map[string]string{
		"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv6/conf/all/disable_ipv6": "0", "ipv6/conf/default/disable_ipv6": "0",
	} {
		if err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := up("lo"); err != nil {
		t.Fatal(err)
	}
	client, server = newPod(t, "client", 1), newPod(t, "server", 2)
	return netns{addresses: gateways(1)}, client, server
}

func gateways(subnet int) map[string]netip.Addr {
	return map[string]netip.Addr{
		"IPv4": netip.AddrFrom4([4]byte{10, 0, byte(subnet), 1}),
		"IPv6": netip.MustParseAddr(fmt.Sprintf("fd00:%d::1", subnet)),
	}
}

func newPod(t *testing.T, name string, subnet int) netns {
	t.Helper()
	pod := netns{addresses: map[string]netip.Addr{}}
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			pod.namespace, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pod.namespace.Close() })
	wire := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(pod.namespace.Fd())),
	}
	if err := netlink.LinkAdd(wire); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netlink.LinkDel(wire); err != nil {
			t.Error(err)
		}
	})
	if err := up(name, gateways(subnet)["IPv4"], gateways(subnet)["IPv6"]); err != nil {
		t.Fatal(err)
	}
	for family, gateway := range gateways(subnet) {
		pod.addresses[family] = gateway.Next()
	}
	pod.do(t, func() error {
		if err := up("eth0", pod.addresses["IPv4"], pod.addresses["IPv6"]); err != nil {
			return err
		}
		for _, gateway := range gateways(subnet) {
			if err := netlink.RouteAdd(&netlink.Route{Gw: gateway.AsSlice()}); err != nil {
				return fmt.Errorf("route by %s: %w", gateway, err)
			}
		}
		return nil
	})
	return pod
}

// up gives an interface addresses and sets it up.
func up(name string, addresses ...netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for _, address := range addresses {
		size := 24
		if address.Is6() {
			size = 64
		}
		ip := &net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(size, address.BitLen())}
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ip, Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("address %s: %w", address, err)
		}
	}
	return nil
}

// do runs a function in the namespace; sockets that it opens stay there.
func (n netns) do(t *testing.T, function func() error) {
	t.Helper()
	if err := n.try(function); err != nil {
		t.Fatal(err)
	}
}

func (n netns) try(function func() error) error {
	if n.namespace == nil {
		return function()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := unix.Setns(int(n.namespace.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = function()
		}
		done <- err
	}()
	return <-done
}

// serve sends back what comes by TCP and UDP, and returns the port.
func (n netns) serve(t *testing.T, family string) uint16 {
	t.Helper()
	var stream net.Listener
	var packets net.PacketConn
	n.do(t, func() (err error) {
		if stream, err = net.Listen("tcp", netip.AddrPortFrom(n.addresses[family], 0).String()); err != nil {
			return err
		}
		packets, err = net.ListenPacket("udp", stream.Addr().String())
		return err
	})
	t.Cleanup(func() { _, _ = stream.Close(), packets.Close() })
	go func() {
		for {
			c, err := stream.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	go func() {
		data := make([]byte, 64)
		for {
			size, from, err := packets.ReadFrom(data)
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(data[:size], from)
		}
	}()
	return netip.MustParseAddrPort(stream.Addr().String()).Port()
}

// dial connects and gets an answer.
func (n netns) dial(protocol string, to netip.AddrPort, limit time.Duration) (c net.Conn, err error) {
	err = n.try(func() error {
		c, err = net.DialTimeout(protocol, to.String(), limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := exchange(c, limit); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// exchange is one question with its answer.
func exchange(c net.Conn, limit time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("question")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len("question")))
	return err
}

// judge decides as the test says.
type judge struct {
	mu      sync.Mutex // guards all
	allow   bool
	concern []netip.Addr
	asked   []network.Packet
	changed api.SyncFunc
}

func (j *judge) rule(allow bool, concern ...netip.Addr) {
	j.mu.Lock()
	j.allow, j.concern, j.asked = allow, concern, nil
	changed := j.changed
	j.mu.Unlock()
	changed()
}

func (j *judge) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = nil
}

// questions are what was asked since the last rule, but for what the kernel
// sends by itself.
func (j *judge) questions() []network.Packet {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.asked), func(p network.Packet) bool { return p.Proto == "" })
}

func (*judge) Name() string { return "test" }
func (*judge) Ready() bool  { return true }

func (j *judge) EvaluateIngress(_ context.Context, p *network.Packet, _, _ *api.PodInfo) (api.Verdict, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked = append(j.asked, *p)
	if j.allow {
		return api.VerdictNext, nil
	}
	return api.VerdictDeny, nil
}

func (*judge) EvaluateEgress(context.Context, *network.Packet, *api.PodInfo, *api.PodInfo) (api.Verdict, error) {
	return api.VerdictNext, nil
}

func (j *judge) SetDataplaneSyncCallback(changed api.SyncFunc) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changed = changed
}

func (j *judge) ManagedIPs(context.Context) ([]netip.Addr, bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.concern, false, nil
}

// GetPodInfoByIP knows no pods: the judge needs none.
func (*judge) GetPodInfoByIP(string) (*api.PodInfo, bool) { return nil, false }

func (j *judge) engine(alarmFile string) *Engine {
	return newEngine(networkpolicy.NewPolicyEngine(j, []api.PolicyEvaluator{j}), alarmFile)
}
