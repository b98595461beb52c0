package policy

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// podSet is the set, in each table, of the addresses that policies apply to.
const podSet = "pods"

// family describes where addresses are in packets. There is a table for each, because
// the kernel looks up a target of xtables for either IPv4 or IPv6.
type family struct {
	nft         nftables.TableFamily
	address     nftables.SetDatatype
	source      uint32 // offset in the header, as is destination
	destination uint32
	length      uint32
}

func families() []family {
	return []family{
		{nftables.TableFamilyIPv4, nftables.TypeIPAddr, 12, 16, 4},
		{nftables.TableFamilyIPv6, nftables.TypeIP6Addr, 8, 24, 16},
	}
}

// byExpression, byTarget and refusal are the actions for a packet that needs a
// decision. The first two drop it if no program reads the queue.
func byExpression() expr.Any { return &expr.Queue{Num: queue} }

// byTarget is the first revision of xtables' NFQUEUE. Its only field is the queue's
// number, padded to 8 bytes (linux/netfilter/xt_NFQUEUE.h, struct xt_NFQ_info).
func byTarget() expr.Any {
	info := make(xt.Unknown, 8)
	binary.NativeEndian.PutUint16(info, queue)
	return &expr.Target{Name: "NFQUEUE", Info: &info}
}

func refusal() expr.Any { return &expr.Verdict{Kind: expr.VerdictDrop} }

// known is the connection tracking label of connections that need no further decision
// once they are established. It is set before the first packet is queued: if that is
// dropped, the kernel forgets the connection. (A verdict can set it as well, but only
// in kernels with CONFIG_NETFILTER_NETLINK_GLUE_CT.) Connections to which no policy
// applies when they begin have it as well, and continue if one applies later.
func known() []byte {
	label := make([]byte, 16)
	label[len(label)-1] = 1
	return label
}

// takes returns nil if the kernel supports an expression in rules, and ENOENT if it
// does not. Its transaction leaves nothing behind.
func takes(e expr.Any) error {
	kernel, err := nftables.New()
	if err != nil {
		return err
	}
	for _, f := range families() {
		table := kernel.AddTable(&nftables.Table{Name: tableName + "-probe", Family: f.nft})
		chain := kernel.AddChain(postrouting(table))
		kernel.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{e}})
		kernel.DelTable(table)
	}
	return kernel.Flush()
}

// ruleset is how the kernel decides about packets from and to some addresses.
type ruleset struct {
	addresses []netip.Addr
	all       bool // every packet, whatever its addresses
	decide    expr.Any
}

// apply replaces all rules at once.
func (r ruleset) apply() error {
	kernel, err := nftables.New()
	if err != nil {
		return err
	}
	for _, f := range families() {
		if err := r.add(kernel, f); err != nil {
			return fmt.Errorf("prepare rules: %w", err)
		}
	}
	if err := kernel.Flush(); err != nil {
		return fmt.Errorf("replace rules: %w", err)
	}
	return nil
}

// add replaces the contents of a family's table. The table itself and its chains stay:
// removing a chain also removes the packets that wait for a verdict.
func (r ruleset) add(kernel *nftables.Conn, f family) error {
	table := kernel.AddTable(&nftables.Table{Name: tableName, Family: f.nft})
	toward, inward := kernel.AddChain(postrouting(table)), kernel.AddChain(input(table))
	kernel.FlushTable(table)
	pods := &nftables.Set{Table: table, Name: podSet, KeyType: f.address}
	if err := kernel.AddSet(pods, nil); err != nil {
		return err
	}
	kernel.FlushSet(pods)
	var elements []nftables.SetElement
	for _, address := range r.addresses {
		if address = address.Unmap(); address.BitLen() == int(f.length)*8 {
			elements = append(elements, nftables.SetElement{Key: address.AsSlice()})
		}
	}
	if err := kernel.SetAddElements(pods, elements); err != nil {
		return err
	}
	rule := func(chain *nftables.Chain, parts ...[]expr.Any) {
		kernel.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: slices.Concat(parts...)})
	}
	accept, decide := []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}, []expr.Any{r.decide}
	label := []expr.Any{
		&expr.Immediate{Register: 1, Data: known()},
		&expr.Ct{Key: expr.CtKeyLABELS, Register: 1, SourceRegister: true},
	}
	if f.nft == nftables.TableFamilyIPv6 {
		rule(toward, neighbourDiscovery(), accept)
	}
	// Processes of the node itself, such as the kubelet's probes.
	rule(toward, equal(&expr.Meta{Key: expr.MetaKeySKUID, Register: 1}, make([]byte, 4)), accept)
	rule(toward, masked(expr.CtKeyLABELS, known()), masked(expr.CtKeySTATE, state(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)), accept)
	rule(toward, label)
	for _, end := range []uint32{f.source, f.destination} {
		rule(toward, r.concerned(f, end), decide)
	}
	rule(inward, equal(&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: 1}, binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_LOOPBACK)), accept)
	rule(inward, label)
	rule(inward, r.concerned(f, f.source), masked(expr.CtKeySTATE, state(expr.CtStateBitNEW)), decide)
	return nil
}

// postrouting handles every packet to or from a pod, with the addresses of pods at
// both ends: a service's address has already been translated, and a source's has not
// yet been.
func postrouting(table *nftables.Table) *nftables.Chain {
	return &nftables.Chain{
		Name: "postrouting", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPostrouting,
		Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityNATSource - 5),
	}
}

// input handles what pods send to the node itself, after the translation of services'
// addresses.
func input(table *nftables.Table) *nftables.Chain {
	return &nftables.Chain{
		Name: "input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
		Priority: nftables.ChainPriorityRef(*nftables.ChainPriorityNATSource + 1),
	}
}

// concerned matches packets that have an address in the set at an offset of the header.
func (r ruleset) concerned(f family, offset uint32) []expr.Any {
	if r.all {
		return nil
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: f.length},
		&expr.Lookup{SourceRegister: 1, SetName: podSet},
	}
}

// neighbourDiscovery matches ICMPv6 from Router Solicitation (133) to Redirect (137),
// RFC 4861, without which IPv6 does not work.
func neighbourDiscovery() []expr.Any {
	return append(equal(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, []byte{unix.IPPROTO_ICMPV6}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Len: 1},
		&expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: []byte{133}, ToData: []byte{137}})
}

// equal matches if load puts value into register 1.
func equal(load expr.Any, value []byte) []expr.Any {
	return []expr.Any{load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value}}
}

// masked matches a connection that has any of the bits.
func masked(key expr.CtKey, bits []byte) []expr.Any {
	zero := make([]byte, len(bits))
	return []expr.Any{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(len(bits)), Mask: bits, Xor: zero},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: zero},
	}
}

func state(bits uint32) []byte { return binary.NativeEndian.AppendUint32(nil, bits) }

// remove removes all rules.
func remove() error {
	kernel, err := nftables.New()
	if err != nil {
		return err
	}
	for _, f := range families() {
		// A table must exist to be deleted.
		kernel.DelTable(kernel.AddTable(&nftables.Table{Name: tableName, Family: f.nft}))
	}
	if err := kernel.Flush(); err != nil {
		return fmt.Errorf("remove rules: %w", err)
	}
	return nil
}
