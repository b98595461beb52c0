package network

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// How long a UDP flow lives without a datagram: one that was answered, one that
// was not, and one to a DNS server, which is over after its answer.
const (
	answeredIdle   = 90 * time.Second
	unansweredIdle = 30 * time.Second
	dnsIdle        = 10 * time.Second
	dnsPort        = 53
)

// maxDatagram is what a UDP datagram over IPv4 can carry.
const maxDatagram = 65507

// datagrams are buffers for one datagram each, shared so that an idle flow
// holds none.
var datagrams = sync.Pool{New: func() any { return new([maxDatagram]byte) }}

// udpForwarder carries datagrams between machines and the outside.
type udpForwarder struct {
	subnet netip.Prefix // of the machines
	// route returns where to send what is for a target, nothing if that is not
	// allowed.
	route func(target netip.AddrPort) []netip.AddrPort
	// waits reports whether route may take long for a target; nil if it never does.
	waits func(target netip.AddrPort) bool
	dial  dialer
	flows *quota
	open  *openFlows

	mu       sync.Mutex // guards machines
	machines map[netip.Addr]map[*udpFlow]struct{}
}

// attach makes the forwarder handle every datagram that no service of the
// gateway and no flow takes.
func (f *udpForwarder) attach(s *stack.Stack) {
	s.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s, f.handle).HandlePacket)
}

// handle begins a flow with its first datagram. It runs where packets are
// delivered and must not wait.
func (f *udpForwarder) handle(r *udp.ForwarderRequest) {
	id := r.ID()
	machine, target := address(id.RemoteAddress), netip.AddrPortFrom(address(id.LocalAddress), id.LocalPort)
	if !f.subnet.Contains(machine) {
		return
	}
	if f.waits != nil && f.waits(target) {
		if f.take(machine) {
			go func() { f.begin(r, machine, target, f.route(target)) }()
		}
		return
	}
	if to := f.route(target); len(to) > 0 && f.take(machine) {
		f.begin(r, machine, target, to)
	}
}

// begin begins a flow that take has counted.
func (f *udpForwarder) begin(r *udp.ForwarderRequest, machine netip.Addr, target netip.AddrPort, to []netip.AddrPort) {
	if len(to) == 0 {
		f.flows.give(machine)
		return
	}
	flow := &udpFlow{port: target.Port(), closed: make(chan struct{})}
	endpoint, failed := r.CreateEndpoint(&flow.queue)
	if failed != nil {
		f.flows.give(machine)
		return
	}
	flow.endpoint = endpoint
	outside, err := f.dial(context.Background(), "udp4", to[0].String()) // a connected socket: nothing is sent
	if err != nil {
		endpoint.Close()
		f.flows.give(machine)
		return
	}
	flow.outside = outside
	flow.used()
	done, err := f.open.begin(flow)
	if err != nil {
		_ = flow.Close()
		f.flows.give(machine)
		return
	}
	f.add(machine, flow)
	go func() {
		defer done()
		flow.run()
		f.remove(machine, flow)
		f.flows.give(machine)
	}()
}

// take reports whether the machine may have one more flow. If not, it ends the
// machine's stalest one, so that there is room when the datagram is sent again.
func (f *udpForwarder) take(machine netip.Addr) bool {
	if f.flows.take(machine) {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var stalest *udpFlow
	for flow := range f.machines[machine] {
		if stalest == nil || flow.stalerThan(stalest) {
			stalest = flow
		}
	}
	if stalest != nil {
		_ = stalest.Close()
	}
	return false
}

func (f *udpForwarder) add(machine netip.Addr, flow *udpFlow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.machines == nil {
		f.machines = map[netip.Addr]map[*udpFlow]struct{}{}
	}
	if f.machines[machine] == nil {
		f.machines[machine] = map[*udpFlow]struct{}{}
	}
	f.machines[machine][flow] = struct{}{}
}

func (f *udpForwarder) remove(machine netip.Addr, flow *udpFlow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if delete(f.machines[machine], flow); len(f.machines[machine]) == 0 {
		delete(f.machines, machine)
	}
}

// udpFlow is the datagrams between one port of a machine and one address outside.
type udpFlow struct {
	queue    waiter.Queue
	endpoint tcpip.Endpoint
	outside  net.Conn
	port     uint16 // outside

	lastUsed atomic.Int64 // Unix time in nanoseconds
	answered atomic.Bool
	once     sync.Once
	closed   chan struct{}
}

func (u *udpFlow) used() { u.lastUsed.Store(time.Now().UnixNano()) }

// idle is how long the flow may live without a datagram.
func (u *udpFlow) idle() time.Duration {
	switch {
	case u.port == dnsPort:
		return dnsIdle
	case u.answered.Load():
		return answeredIdle
	default:
		return unansweredIdle
	}
}

// stalerThan orders flows by which is missed least: unanswered ones first, then
// those not used for longest.
func (u *udpFlow) stalerThan(other *udpFlow) bool {
	if a, b := u.answered.Load(), other.answered.Load(); a != b {
		return !a
	}
	return u.lastUsed.Load() < other.lastUsed.Load()
}

// Close ends the flow.
func (u *udpFlow) Close() error {
	u.once.Do(func() {
		close(u.closed)
		_ = u.outside.Close()
		u.endpoint.Close()
	})
	return nil
}

// run carries datagrams until the flow is closed or idle.
func (u *udpFlow) run() {
	var outgoing sync.WaitGroup
	outgoing.Go(u.send)
	u.receive()
	_ = u.Close()
	outgoing.Wait()
}

// send carries datagrams to the outside.
func (u *udpFlow) send() {
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr)
	u.queue.EventRegister(&entry)
	defer u.queue.EventUnregister(&entry)
	for {
		switch u.sendOne().(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			select {
			case <-readable:
			case <-u.closed:
				return
			}
		default:
			_ = u.Close()
			return
		}
	}
}

func (u *udpFlow) sendOne() tcpip.Error {
	buffer := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buffer)
	w := tcpip.SliceWriter(buffer[:])
	result, failed := u.endpoint.Read(&w, tcpip.ReadOptions{})
	if failed != nil {
		return failed
	}
	u.used()
	// An error here is about an earlier datagram, as a refused port; receive
	// sees what ends the flow.
	_, _ = u.outside.Write(buffer[:result.Count])
	return nil
}

// receive carries datagrams to the machine until the flow is idle.
func (u *udpFlow) receive() {
	for {
		until := time.Unix(0, u.lastUsed.Load()).Add(u.idle())
		if !time.Now().Before(until) || u.outside.SetReadDeadline(until) != nil {
			return
		}
		switch err := u.receiveOne(); {
		case err == nil:
			u.answered.Store(true)
			u.used()
		case errors.Is(err, syscall.ECONNREFUSED), isTimeout(err):
		default:
			return
		}
	}
}

func (u *udpFlow) receiveOne() error {
	readable, ok := u.outside.(syscall.Conn)
	if !ok {
		return u.deliver(u.outside.Read)
	}
	raw, err := readable.SyscallConn()
	if err != nil {
		return err
	}
	// The buffer is taken once there is something to read.
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		failed = u.deliver(func(b []byte) (int, error) { return syscall.Read(int(fd), b) })
		return !errors.Is(failed, syscall.EAGAIN)
	})
	return errors.Join(err, failed)
}

// deliver reads one datagram and sends it to the machine.
func (u *udpFlow) deliver(read func([]byte) (int, error)) error {
	buffer := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(buffer)
	n, err := read(buffer[:])
	if err != nil {
		return err
	}
	if _, failed := u.endpoint.Write(bytes.NewReader(buffer[:n]), tcpip.WriteOptions{}); failed != nil {
		if _, full := failed.(*tcpip.ErrNoBufferSpace); !full {
			return io.ErrClosedPipe
		}
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
