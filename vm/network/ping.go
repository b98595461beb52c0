package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// pingIdle is how long to wait for replies after a program's last echo request.
	pingIdle = 10 * time.Second
	// maxPings bounds the programs and addresses that are pinged at once.
	maxPings = 64
	// replyTTL is that of echo replies that the host gets.
	replyTTL = 64
)

// dialEcho returns a connection on which each Write is an ICMP echo request to an
// address, and each Read a reply to one. Its requests have an identifier of their own.
func dialEcho(s *stack.Stack, to netip.Addr) (net.Conn, error) {
	var queue waiter.Queue
	endpoint, failed := s.NewEndpoint(icmp.ProtocolNumber4, ipv4.ProtocolNumber, &queue)
	if failed != nil {
		return nil, errors.New(failed.String())
	}
	if failed := endpoint.Connect(tcpip.FullAddress{NIC: nic, Addr: tcpipAddress(to)}); failed != nil {
		endpoint.Close()
		return nil, errors.New(failed.String())
	}
	return gonet.NewUDPConn(&queue, endpoint), nil
}

// pinger forwards ICMP echo requests of the host and returns the replies.
type pinger struct {
	host   netip.Addr
	allows func(netip.Addr) bool
	dial   dialer
	// reply gives the host a packet.
	reply func(packet []byte)
	open  *openFlows

	mu    sync.Mutex // guards flows
	flows map[ping]net.Conn
}

// ping is a program that pings an address, by the identifier of its requests.
type ping struct {
	to         netip.Addr
	identifier uint16
}

// forward forwards an echo request. It drops every other packet of ICMP.
func (p *pinger) forward(packet []byte) {
	request := header.IPv4(packet)
	if !request.IsValid(len(packet)) || request.FragmentOffset() != 0 || request.More() {
		return
	}
	message := header.ICMPv4(request.Payload())
	to := address(request.DestinationAddress())
	if len(message) < header.ICMPv4MinimumSize || message.Type() != header.ICMPv4Echo || message.Code() != 0 || !p.allows(to) {
		return
	}
	if conn := p.flow(ping{to, message.Ident()}); conn != nil {
		_ = conn.SetReadDeadline(time.Now().Add(pingIdle))
		_, _ = conn.Write(message) // a lost request is not answered
	}
}

// flow returns the connection for a program's requests, nil if there is none and no
// room for it.
func (p *pinger) flow(key ping) net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if conn := p.flows[key]; conn != nil {
		return conn
	}
	if len(p.flows) >= maxPings {
		return nil
	}
	conn, err := p.dial(context.Background(), "icmp", netip.AddrPortFrom(key.to, 0).String()) // nothing is sent yet
	if err != nil {
		return nil
	}
	done, err := p.open.begin(conn)
	if err != nil {
		_ = conn.Close()
		return nil
	}
	if p.flows == nil {
		p.flows = map[ping]net.Conn{}
	}
	p.flows[key] = conn
	go func() {
		defer done()
		p.receive(conn, key)
		p.mu.Lock()
		delete(p.flows, key)
		p.mu.Unlock()
		_ = conn.Close()
	}()
	return conn
}

// receive returns replies to the host until there has been no request for a while.
func (p *pinger) receive(conn net.Conn, key ping) {
	// A reply may arrive before the first request has set the time limit.
	_ = conn.SetReadDeadline(time.Now().Add(pingIdle))
	b := datagrams.Get().(*[maxDatagram]byte)
	defer datagrams.Put(b)
	for {
		n, err := conn.Read(b[:])
		if err != nil {
			return
		}
		if packet := echoReply(b[:n], key, p.host); packet != nil {
			p.reply(packet)
		}
	}
}

// echoReply returns the packet that gives the host a reply to one of its requests, nil
// if the message is not a reply.
func echoReply(message []byte, key ping, host netip.Addr) []byte {
	if len(message) < header.ICMPv4MinimumSize || len(message) > AttachMTU-header.IPv4MinimumSize || header.ICMPv4(message).Type() != header.ICMPv4EchoReply {
		return nil
	}
	packet := make([]byte, header.IPv4MinimumSize+len(message))
	ip := header.IPv4(packet)
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(packet)), TTL: replyTTL, Protocol: protocolICMP,
		SrcAddr: tcpipAddress(key.to), DstAddr: tcpipAddress(host),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	reply := header.ICMPv4(packet[header.IPv4MinimumSize:])
	copy(reply, message)
	reply.SetIdent(key.identifier)
	reply.SetChecksum(header.ICMPv4Checksum(reply, 0))
	return packet
}
