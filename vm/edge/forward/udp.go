package forward

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// udpIdle is how long a flow lives without a datagram.
	udpIdle = 90 * time.Second
	// maxFlows is how many clients of one listener have a flow; more end the one
	// that has been idle for longest.
	maxFlows = 1024
	// maxPending is how many datagrams wait for a flow that is being made.
	maxPending = 16
	// maxDatagram is what a datagram over IPv4 can carry.
	maxDatagram = 65507
)

// packetServer forwards the datagrams of one listener.
type packetServer struct {
	*server
	socket *net.UDPConn
	tasks  sync.WaitGroup

	mu    sync.Mutex // guards flows
	flows map[netip.AddrPort]*flow
}

// serveUDP forwards datagrams until ctx ends. The address is free when it returns.
func (s *server) serveUDP(ctx context.Context, socket *net.UDPConn) {
	p := &packetServer{server: s, socket: socket, flows: map[netip.AddrPort]*flow{}}
	s.packets.Store(p)
	ctx, cancel := context.WithCancel(ctx)
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = socket.Close()
	})
	// A read fails before the descriptor is closed, and a second Close would not wait for that.
	defer func() { <-closed }()
	defer p.tasks.Wait()
	defer cancel()
	buffer := make([]byte, maxDatagram)
	for {
		n, client, err := socket.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil { // about an earlier datagram, as a refused one
			continue
		}
		if fl := p.flow(ctx, client); fl != nil {
			fl.send(buffer[:n])
		}
	}
}

// flow returns the flow of a client, nil if there is no room for another one.
func (p *packetServer) flow(ctx context.Context, client netip.AddrPort) *flow {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fl, ok := p.flows[client]; ok {
		return fl
	}
	if len(p.flows) >= maxFlows {
		p.endStalest()
		return nil
	}
	select {
	case p.shared.slots <- struct{}{}:
	default:
		p.endStalest()
		return nil
	}
	fl := &flow{closed: make(chan struct{})}
	fl.touch()
	p.flows[client] = fl
	p.tasks.Go(func() {
		defer func() {
			p.mu.Lock()
			delete(p.flows, client)
			p.mu.Unlock()
			<-p.shared.slots
		}()
		p.run(ctx, fl, client)
	})
	return fl
}

// endStalest makes room for a datagram that is sent again. The caller holds p.mu.
func (p *packetServer) endStalest() {
	var stalest *flow
	for _, fl := range p.flows {
		if stalest == nil || fl.used.Load() < stalest.used.Load() {
			stalest = fl
		}
	}
	if stalest != nil {
		_ = stalest.Close()
	}
}

// run connects a flow and carries its answers until it is idle or closed.
func (p *packetServer) run(ctx context.Context, fl *flow, client netip.AddrPort) {
	defer func() { _ = fl.Close() }()
	end, err := p.shared.use(ctx)
	if err != nil {
		return // the listener ends
	}
	defer end()
	backend, at, err := p.shared.dialer.connect(ctx, "udp", p.target())
	if err != nil {
		p.shared.log.Debug("cannot forward datagrams", "listener", p.id, "error", err)
		return
	}
	if !fl.begin(backend) {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = fl.Close() })
	defer stop()
	defer p.shared.flows.add(at, fl)()
	buffer := make([]byte, maxDatagram)
	for {
		until := time.Unix(0, fl.used.Load()).Add(udpIdle)
		if !time.Now().Before(until) || backend.SetReadDeadline(until) != nil {
			return
		}
		n, err := backend.Read(buffer)
		switch {
		case err == nil:
			fl.touch()
			_, _ = p.socket.WriteToUDPAddrPort(buffer[:n], client)
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.ECONNREFUSED):
		default:
			return
		}
	}
}

// retarget ends the flows to addresses that the target does not have. A target without
// addresses keeps them all.
func (p *packetServer) retarget(target Target) {
	if len(target.Addresses) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fl := range p.flows {
		if at := fl.leads(); at.IsValid() && !slices.Contains(target.Addresses, at) {
			_ = fl.Close()
		}
	}
}

// flow is the datagrams of one client.
type flow struct {
	used   atomic.Int64 // Unix time in nanoseconds
	once   sync.Once
	closed chan struct{}

	mu      sync.Mutex // guards what follows
	backend net.Conn   // nil until it is connected
	pending [][]byte
}

func (f *flow) touch() { f.used.Store(time.Now().UnixNano()) }

// send sends a datagram to the cluster, or keeps it until that is possible.
func (f *flow) send(datagram []byte) {
	f.touch()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.backend == nil {
		if len(f.pending) < maxPending {
			f.pending = append(f.pending, slices.Clone(datagram))
		}
		return
	}
	// An error here is about an earlier datagram; run sees what ends the flow.
	_, _ = f.backend.Write(datagram)
}

// begin sends what is pending, and returns false if the flow is closed already.
func (f *flow) begin(backend net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
		_ = backend.Close()
		return false
	default:
	}
	f.backend = backend
	for _, datagram := range f.pending {
		_, _ = backend.Write(datagram)
	}
	f.pending = nil
	return true
}

// leads returns the address in the cluster, if it is connected.
func (f *flow) leads() netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.backend == nil {
		return netip.AddrPort{}
	}
	at, _ := netip.ParseAddrPort(f.backend.RemoteAddr().String())
	return at
}

// Close ends the flow.
func (f *flow) Close() error {
	f.once.Do(func() {
		close(f.closed)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.backend != nil {
			_ = f.backend.Close()
		}
	})
	return nil
}
