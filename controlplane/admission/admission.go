// Package admission limits what a node writes to the node itself. Roles say which
// kinds of objects the parts of the node agent may write; this plugin says which
// objects, and with which content. It complements upstream's NodeRestriction and
// is compiled in, so that it is in force from the first request and cannot be
// deleted.
package admission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/discovery"

	"github.com/skiff-dev/skiff/controlplane/inventory"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// PluginName is the plugin's name in the API server's options and in errors.
const PluginName = "SkiffNodeRestriction"

// labelService names the service of an endpoint slice
// (https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetesioservice-name).
const labelService = "kubernetes.io/service-name"

var (
	configMaps     = schema.GroupResource{Resource: "configmaps"}
	nodes          = schema.GroupResource{Resource: "nodes"}
	volumes        = schema.GroupResource{Resource: "persistentvolumes"}
	endpointSlices = schema.GroupResource{Group: "discovery.k8s.io", Resource: "endpointslices"}
)

// Register adds the plugin to plugins.
func Register(plugins *admission.Plugins, machines inventory.Inventory) {
	plugins.Register(PluginName, func(io.Reader) (admission.Interface, error) {
		return &plugin{Handler: admission.NewHandler(admission.Create, admission.Update, admission.Delete), machines: machines}, nil
	})
}

type plugin struct {
	*admission.Handler
	machines inventory.Inventory
	nodes    corelisters.NodeLister
}

var (
	_ admission.ValidationInterface                = (*plugin)(nil)
	_ initializer.WantsExternalKubeInformerFactory = (*plugin)(nil)
)

// SetExternalKubeInformerFactory implements
// initializer.WantsExternalKubeInformerFactory.
func (p *plugin) SetExternalKubeInformerFactory(f informers.SharedInformerFactory) {
	nodes := f.Core().V1().Nodes()
	p.nodes = nodes.Lister()
	p.SetReadyFunc(nodes.Informer().HasSynced)
}

// ValidateInitialization implements admission.InitializationValidator.
func (p *plugin) ValidateInitialization() error {
	if p.nodes == nil {
		return errors.New("no node lister")
	}
	return nil
}

// Validate implements admission.ValidationInterface.
func (p *plugin) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if err := p.check(a); err != nil {
		return admission.NewForbidden(a, err)
	}
	if foreignDNS(a) {
		warning.AddWarning(ctx, "", fmt.Sprintf("nothing reads ConfigMap %s/%s: put your own DNS configuration into %s",
			metav1.NamespaceSystem, names.ForeignDNS, names.CustomDNS))
	}
	return nil
}

// foreignDNS reports whether somebody configures cluster DNS as kubeadm's users do,
// to whom it must not seem to work.
func foreignDNS(a admission.Attributes) bool {
	return a.GetResource().GroupResource() == configMaps && a.GetOperation() != admission.Delete &&
		a.GetNamespace() == metav1.NamespaceSystem && a.GetName() == names.ForeignDNS
}

func (p *plugin) check(a admission.Attributes) error {
	user := a.GetUserInfo().GetName()
	if node, ok := names.NodeOf(names.GroupDNS, user); ok {
		return p.checkSlice(a, node)
	}
	if node, ok := names.NodeOf(names.GroupVolumes, user); ok {
		return checkVolume(a, node)
	}
	if node, ok := strings.CutPrefix(user, names.UserNodePrefix); ok && a.GetResource().GroupResource() == nodes {
		return p.checkNode(a, node)
	}
	return nil
}

// checkSlice lets the DNS server of a node publish its own address for pods of
// its own node, and nothing else.
func (p *plugin) checkSlice(a admission.Attributes, node string) error {
	name := names.DNSService + "-" + node
	if a.GetResource().GroupResource() != endpointSlices || a.GetNamespace() != metav1.NamespaceSystem || a.GetName() != name {
		return fmt.Errorf("the DNS server of node %s may write only the endpoint slice %s/%s", node, metav1.NamespaceSystem, name)
	}
	if a.GetOperation() == admission.Delete {
		return nil
	}
	slice, ok := a.GetObject().(*discovery.EndpointSlice)
	if !ok {
		return fmt.Errorf("unexpected object %T", a.GetObject())
	}
	if service := slice.Labels[labelService]; service != names.DNSService {
		return fmt.Errorf("the endpoint slice must be of service %s, not %q", names.DNSService, service)
	}
	for _, endpoint := range slice.Endpoints {
		if endpoint.NodeName == nil || *endpoint.NodeName != node {
			return fmt.Errorf("every endpoint must be on node %s", node)
		}
		for _, text := range endpoint.Addresses {
			address, err := netip.ParseAddr(text)
			if err != nil {
				return fmt.Errorf("invalid address %q: %w", text, err)
			}
			if _, err := p.machines.Check(node, address); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkVolume lets the node agent remove the finalizer of a volume on its node.
func checkVolume(a admission.Attributes, node string) error {
	if a.GetResource().GroupResource() != volumes || a.GetSubresource() != "" || a.GetOperation() != admission.Update {
		return fmt.Errorf("the node agent on node %s may only release persistent volumes", node)
	}
	old, wasVolume := a.GetOldObject().(*core.PersistentVolume)
	volume, isVolume := a.GetObject().(*core.PersistentVolume)
	if !wasVolume || !isVolume {
		return fmt.Errorf("unexpected objects %T and %T", a.GetOldObject(), a.GetObject())
	}
	if !onNode(old, node) {
		return fmt.Errorf("volume %s is not on node %s", old.Name, node)
	}
	released := old.DeepCopy()
	released.Finalizers = slices.DeleteFunc(released.Finalizers, func(f string) bool { return f == names.LocalVolumeFinalizer })
	if old.DeletionTimestamp == nil || !equality.Semantic.DeepEqual(content(released), content(volume)) {
		return fmt.Errorf("the node agent may only remove the finalizer %s of a deleted volume", names.LocalVolumeFinalizer)
	}
	return nil
}

// content returns a volume without the fields that the API server sets.
func content(volume *core.PersistentVolume) *core.PersistentVolume {
	v := volume.DeepCopy()
	v.ManagedFields, v.ResourceVersion, v.Generation = nil, "", 0
	return v
}

// onNode reports whether a volume can be used on the node and on no other.
func onNode(volume *core.PersistentVolume, node string) bool {
	affinity := volume.Spec.NodeAffinity
	if affinity == nil || affinity.Required == nil || len(affinity.Required.NodeSelectorTerms) != 1 {
		return false
	}
	return slices.ContainsFunc(affinity.Required.NodeSelectorTerms[0].MatchExpressions, func(r core.NodeSelectorRequirement) bool {
		return r.Key == "kubernetes.io/hostname" && r.Operator == core.NodeSelectorOpIn && slices.Equal(r.Values, []string{node})
	})
}

// checkNode keeps kubelets from giving their nodes a role other than the host's, and
// from taking the pod range of another node, which would get that node's traffic.
func (p *plugin) checkNode(a admission.Attributes, name string) error {
	node, ok := a.GetObject().(*core.Node)
	if !ok || a.GetSubresource() != "" {
		return nil
	}
	old, ok := a.GetOldObject().(*core.Node)
	if !ok {
		old = &core.Node{}
	}
	if !slices.Equal(node.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		if err := p.checkRanges(node.Spec.PodCIDRs, name); err != nil {
			return err
		}
	}
	given, labelled := node.Labels[names.LabelRole]
	if before, was := old.Labels[names.LabelRole]; before == given && was == labelled {
		return nil
	}
	if role, _ := nodeconfig.RoleOf(name); given != string(role) {
		return fmt.Errorf("label %s of node %s must be %q, not %q", names.LabelRole, name, role, given)
	}
	return nil
}

// checkRanges checks the pod ranges of a node that registers again after its object
// was deleted.
func (p *plugin) checkRanges(ranges []string, name string) error {
	if !p.WaitForReady() {
		return errors.New("the other nodes' pod ranges are not known yet")
	}
	all, err := p.nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	for _, text := range ranges {
		own, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("invalid pod range: %w", err)
		}
		for _, other := range all {
			for _, text := range other.Spec.PodCIDRs {
				if taken, err := netip.ParsePrefix(text); other.Name != name && err == nil && taken.Overlaps(own) {
					return fmt.Errorf("pod range %s overlaps %s of node %s", own, taken, other.Name)
				}
			}
		}
	}
	return nil
}
