package gateway

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Address is where a Gateway answers.
type Address struct {
	IP netip.Addr
	// Problem is why the Gateway has no address, or cannot use it.
	Problem string
}

// Usable reports whether the Gateway answers at the address.
func (a Address) Usable() bool { return a.IP.IsValid() && a.Problem == "" }

// Claim is a Gateway that needs an address.
type Claim struct {
	Name types.NamespacedName
	UID  types.UID
	// Requested is the address that its spec names, Previous that of its status.
	Requested, Previous netip.Addr
	// Problem is why the spec's addresses cannot be used.
	Problem string
}

// Claims returns what each Gateway of this controller needs.
func Claims(o Objects) []Claim {
	gateways, _ := o.Own()
	var all []Claim
	for _, g := range gateways {
		c := Claim{Name: nameOf(g), UID: g.UID}
		for _, a := range g.Spec.Addresses {
			requested, err := netip.ParseAddr(a.Value)
			switch {
			case a.Value == "" || unsupported(a):
			case err != nil || c.Requested.IsValid():
				c.Problem = "a Gateway has one address"
			default:
				c.Requested = requested
			}
		}
		for _, a := range g.Status.Addresses {
			if previous, err := netip.ParseAddr(a.Value); err == nil {
				c.Previous = previous
			}
		}
		all = append(all, c)
	}
	return all
}

// unsupported reports whether a Gateway's address is of a type that the host cannot
// assign.
func unsupported(a gatewayv1.GatewaySpecAddress) bool {
	return a.Type != nil && *a.Type != gatewayv1.IPAddressType
}
