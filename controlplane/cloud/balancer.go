package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	cloudprovider "k8s.io/cloud-provider"
	cloudproviderapi "k8s.io/cloud-provider/api"
	servicehelper "k8s.io/cloud-provider/service/helpers"
	"k8s.io/utils/ptr"

	"github.com/skiff-dev/skiff/controlplane/cloud/cloudapi"
)

// unreachableRetry is the delay before a service is tried again if the cloud does not
// answer. A request that the cloud refuses is tried again after upstream's longer and
// growing delays.
const unreachableRetry = time.Second

// GetLoadBalancerName implements cloudprovider.LoadBalancer.
func (p *provider) GetLoadBalancerName(_ context.Context, _ string, service *corev1.Service) string {
	return cloudprovider.DefaultLoadBalancerName(service)
}

// GetLoadBalancer implements cloudprovider.LoadBalancer.
func (p *provider) GetLoadBalancer(ctx context.Context, _ string, service *corev1.Service) (*corev1.LoadBalancerStatus, bool, error) {
	status, err := p.cloud.LoadBalancer(ctx, string(service.UID))
	if errors.Is(err, cloudapi.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return ingress(status), true, nil
}

// EnsureLoadBalancer implements cloudprovider.LoadBalancer.
func (p *provider) EnsureLoadBalancer(ctx context.Context, _ string, service *corev1.Service, nodes []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	desired, err := desiredBalancer(service, nodes)
	if err != nil {
		return nil, err
	}
	status, err := p.cloud.Ensure(ctx, desired)
	var refused *cloudapi.Refusal
	if err != nil && !errors.As(err, &refused) {
		return nil, cloudproviderapi.NewRetryError(err.Error(), unreachableRetry)
	}
	if err != nil {
		return nil, err
	}
	return ingress(status), nil
}

// UpdateLoadBalancer implements cloudprovider.LoadBalancer.
func (p *provider) UpdateLoadBalancer(ctx context.Context, _ string, service *corev1.Service, nodes []*corev1.Node) error {
	desired, err := desiredBalancer(service, nodes)
	if err != nil {
		return err
	}
	return p.cloud.Update(ctx, desired)
}

// EnsureLoadBalancerDeleted implements cloudprovider.LoadBalancer.
func (p *provider) EnsureLoadBalancerDeleted(ctx context.Context, _ string, service *corev1.Service) error {
	return p.cloud.Delete(ctx, string(service.UID))
}

// desiredBalancer returns the load balancer that a service asks for.
func desiredBalancer(service *corev1.Service, nodes []*corev1.Node) (cloudapi.LoadBalancer, error) {
	desired := cloudapi.LoadBalancer{
		Namespace: service.Namespace, Name: service.Name, UID: string(service.UID),
		Local: servicehelper.RequestsOnlyLocalTraffic(service),
	}
	if slices.Contains(service.Spec.IPFamilies, corev1.IPv6Protocol) && len(service.Spec.IPFamilies) == 1 {
		return desired, errors.New("load balancers have IPv4 addresses, and the service has the family IPv6 only")
	}
	_, health := servicehelper.GetServiceHealthCheckPathPort(service)
	desired.HealthCheckPort = uint16(health) //nolint:gosec // the API server checks ports
	for _, port := range service.Spec.Ports {
		desired.Ports = append(desired.Ports, cloudapi.Port{
			Name: port.Name, Protocol: string(port.Protocol),
			Port: uint16(port.Port), NodePort: uint16(port.NodePort), //nolint:gosec // the API server checks ports
		})
	}
	for _, node := range nodes {
		desired.Nodes = append(desired.Nodes, node.Name)
	}
	slices.Sort(desired.Nodes)
	ranges, err := sourceRanges(service)
	if err != nil {
		return desired, err
	}
	desired.SourceRanges = ranges
	if text := service.Spec.LoadBalancerIP; text != "" {
		if desired.Requested, err = netip.ParseAddr(text); err != nil || !desired.Requested.Is4() {
			return desired, fmt.Errorf("spec.loadBalancerIP is %q: load balancers have IPv4 addresses", text)
		}
	}
	for _, known := range service.Status.LoadBalancer.Ingress {
		if address, err := netip.ParseAddr(known.IP); err == nil && address.Is4() {
			desired.Previous = address
		}
	}
	return desired, nil
}

// sourceRanges returns the clients that may use a service; none means all.
func sourceRanges(service *corev1.Service) ([]netip.Prefix, error) {
	set, err := servicehelper.GetLoadBalancerSourceRanges(service)
	if err != nil {
		return nil, err
	}
	if servicehelper.IsAllowAll(set) {
		return nil, nil
	}
	var ranges []netip.Prefix
	for _, text := range set.StringSlice() {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("load balancer source ranges: %w", err)
		}
		ranges = append(ranges, prefix)
	}
	slices.SortFunc(ranges, netip.Prefix.Compare)
	return ranges, nil
}

// ingress returns the status of a service whose load balancer has the given one.
func ingress(status cloudapi.Status) *corev1.LoadBalancerStatus {
	return &corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
		{IP: status.Address.String(), IPMode: ptr.To(corev1.LoadBalancerIPModeVIP)},
	}}
}
