package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/skiff-dev/skiff/internal/kubenames"
	"github.com/skiff-dev/skiff/internal/names"
	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Group is a group of nodes of the same kind. The groups of control planes and of plain
// workers always exist: their counts are those of the Spec.
type Group struct {
	// Name is a DNS label. The nodes are named NAME-1, NAME-2 and so on.
	Name  string `json:"name"`
	Count int    `json:"count,omitempty"`
	// Span is the range within which Count is scaled; zero if it is fixed.
	Span Span `json:"span,omitzero"`
	// CPUs, Memory and Disk default to those of the Spec.
	CPUs   int    `json:"cpus,omitempty"`
	Memory string `json:"memory,omitempty"`
	Disk   string `json:"disk,omitempty"`
	// Arch is Go's name of the architecture of its machines; empty for that of this host.
	Arch string `json:"arch,omitempty"`
	// Zone is the letter of the zone that all nodes are in; if it is empty, they are spread
	// over all zones.
	Zone string `json:"zone,omitempty"`
	// Labels and Taints of the Node objects. Taints are in kubectl's notation.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []string          `json:"taints,omitempty"`
	// Kubelet has fields of a KubeletConfiguration in addition to those of the Spec.
	Kubelet map[string]any `json:"kubelet,omitempty"`
}

const (
	// maxGroupName keeps the names of nodes, and the paths of their sockets, short.
	maxGroupName = 30
	maxGroups    = 50
	maxLabels    = 50
	maxTaints    = 20
)

// Groups returns the groups of spec with their counts and sizes: control planes, plain
// workers, then the others in the order of spec.Nodes.
func Groups(spec Spec) []Group {
	all := []Group{
		{Name: nodeconfig.GroupControlPlanes, Count: spec.ControlPlanes},
		{Name: nodeconfig.GroupWorkers, Count: spec.Workers, Span: spec.WorkersSpan},
	}
	for _, g := range spec.Nodes {
		if i := slices.IndexFunc(all[:2], func(first Group) bool { return first.Name == g.Name }); i >= 0 {
			g.Count, g.Span = all[i].Count, all[i].Span
			all[i] = g
			continue
		}
		all = append(all, g)
	}
	for i := range all {
		all[i] = all[i].sized(spec)
	}
	return all
}

// sized returns the group with the sizes of the spec where it has none of its own.
func (g Group) sized(spec Spec) Group {
	if g.CPUs == 0 {
		g.CPUs = spec.CPUs
	}
	if g.Memory == "" {
		g.Memory = spec.Memory
	}
	if g.Disk == "" {
		g.Disk = spec.Disk
	}
	return g
}

// size returns the size of the group's machines. Fields of invalid sizes are 0.
func (g Group) size() Size {
	memory, _ := MiB(g.Memory)
	disk, _ := MiB(g.Disk)
	return Size{CPUs: g.CPUs, MemoryMiB: memory, DiskMiB: disk}
}

// GroupOf returns the group of the named node. If the spec no longer has that group, it returns
// one with the default sizes of the spec.
func GroupOf(spec Spec, name string) Group {
	group, _, _ := nodeconfig.SplitName(name)
	for _, g := range Groups(spec) {
		if g.Name == group {
			return g
		}
	}
	return Group{Name: group}.sized(spec)
}

// HasWorkers reports whether the cluster has, or may get, nodes that are not control planes.
// Otherwise, control planes run all pods.
func HasWorkers(spec Spec) bool {
	return slices.ContainsFunc(Groups(spec)[1:], func(g Group) bool { return g.most() > 0 })
}

// RoleTaint keeps ordinary pods off control planes.
const RoleTaint = names.TaintControlPlane + ":" + string(corev1.TaintEffectNoSchedule)

// Marks are the labels and taints that Skiff sets on a Node object.
type Marks struct {
	Labels map[string]string
	// Taints in kubectl's notation.
	Taints []string
}

// MarksOf returns the marks of a node.
func MarksOf(spec Spec, name string) Marks {
	group := GroupOf(spec, name)
	marks := Marks{Labels: group.Labels, Taints: slices.Clone(group.Taints)}
	if IsControlPlane(name) && HasWorkers(spec) {
		marks.Taints = append(marks.Taints, RoleTaint)
	}
	return marks
}

// registered returns the labels with which a kubelet may register. Other labels in
// Kubernetes' own domains are refused (KEP-279), so the host sets them afterwards.
func registered(labels map[string]string) map[string]string {
	labels = maps.Clone(labels)
	maps.DeleteFunc(labels, func(key, _ string) bool {
		domain, _, found := strings.Cut(key, "/")
		allowed := belongsTo(domain, "kubelet.kubernetes.io") || belongsTo(domain, "node.kubernetes.io")
		return found && !allowed && (belongsTo(domain, "kubernetes.io") || belongsTo(domain, "k8s.io"))
	})
	return labels
}

func belongsTo(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

// ParseTaint parses KEY=VALUE:EFFECT or KEY:EFFECT.
func ParseTaint(text string) (corev1.Taint, error) {
	fault := func(what string) (corev1.Taint, error) {
		return corev1.Taint{}, fmt.Errorf("invalid taint %q: %s", text, what)
	}
	pair, effect, found := strings.Cut(text, ":")
	if !found {
		return fault("use KEY=VALUE:EFFECT or KEY:EFFECT, such as dedicated=gpu:NoSchedule")
	}
	effects := []string{string(corev1.TaintEffectNoSchedule), string(corev1.TaintEffectPreferNoSchedule), string(corev1.TaintEffectNoExecute)}
	if !slices.Contains(effects, effect) {
		return fault("the effect must be one of " + strings.Join(effects, ", "))
	}
	key, value, _ := strings.Cut(pair, "=")
	if problems := validation.IsQualifiedName(key); len(problems) > 0 {
		return fault("the key: " + problems[0])
	}
	if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
		return fault("the value: " + problems[0])
	}
	return corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)}, nil
}

// validateGroups returns what is wrong with the groups of nodes.
func validateGroups(spec Spec, host Host) []error {
	var faults []error
	if len(spec.Nodes) > maxGroups {
		faults = append(faults, fmt.Errorf("nodes has %d groups: the maximum is %d", len(spec.Nodes), maxGroups))
	}
	seen := map[string]bool{}
	for i, g := range spec.Nodes {
		err := checkGroupName(g.Name)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("nodes[%d]: %w", i, err))
			continue
		case seen[g.Name]:
			faults = append(faults, fmt.Errorf("nodes[%d]: another group is named %q", i, g.Name))
			continue
		}
		seen[g.Name] = true
		for _, err := range g.validate(spec, host) {
			faults = append(faults, fmt.Errorf("nodes: group %s: %w", g.Name, err))
		}
	}
	return faults
}

func checkGroupName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("name is missing: use a name such as gpu")
	case len(name) > maxGroupName || !label.MatchString(name) || name[0] >= '0' && name[0] <= '9':
		return fmt.Errorf("invalid name %q: use up to %d lower-case letters, digits and hyphens, beginning with a letter", name, maxGroupName)
	case strings.HasPrefix(name, nodeconfig.GroupControlPlanes+"-"):
		return fmt.Errorf("invalid name %q: names of control planes begin with %s-", name, nodeconfig.GroupControlPlanes)
	}
	return nil
}

func (g Group) validate(spec Spec, host Host) []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	switch {
	case IsOwnGroup(g.Name) && (g.Count != 0 || g.Span.Scaled()):
		fault("count cannot be set here: use %s", CountKey(g.Name))
	default:
		faults = append(faults, validateCount("count", g.Count, g.Span)...)
	}
	faults = append(faults, validateMachine(Group{CPUs: g.CPUs, Memory: g.Memory, Disk: g.Disk}, host)...)
	faults = append(faults, g.validateArch(spec.Driver, host)...)
	if g.Zone != "" && (len(g.Zone) != 1 || g.Zone[0] < 'a' || int(g.Zone[0]-'a') >= spec.Zones) {
		fault("invalid zone %q: the cluster has %s", g.Zone, zoneLetters(spec.Zones))
	}
	return append(faults, g.validateMarks(host.names(spec))...)
}

// zoneLetters names zones for users.
func zoneLetters(zones int) string {
	if zones <= 1 {
		return "only zone a; set zones"
	}
	return fmt.Sprintf("zones a to %c", 'a'+zones-1)
}

func (g Group) validateMarks(known *kubenames.Names) []error {
	var faults []error
	if len(g.Labels) > maxLabels || len(g.Taints) > maxTaints {
		faults = append(faults, fmt.Errorf("%d labels and %d taints are too many: the maximum is %d and %d", len(g.Labels), len(g.Taints), maxLabels, maxTaints))
	}
	for _, name := range sorted(g.Labels) {
		if err := CheckLabel(name, g.Labels[name]); err != nil {
			faults = append(faults, err)
		}
	}
	seen := map[string]bool{}
	for _, text := range g.Taints {
		taint, err := ParseTaint(text)
		identity := taint.Key + ":" + string(taint.Effect)
		switch {
		case err != nil:
		case seen[identity]:
			err = fmt.Errorf("invalid taint %q: another one has the same key and effect", text)
		case ownedLabel(taint.Key) || strings.HasPrefix(taint.Key, "node.kubernetes.io/") || belongsTo(strings.Split(taint.Key, "/")[0], "cloudprovider.kubernetes.io"):
			err = fmt.Errorf("invalid taint %q: Kubernetes or Skiff sets it itself", text)
		}
		seen[identity] = true
		if err != nil {
			faults = append(faults, err)
		}
	}
	if known != nil {
		for _, err := range checkFields("KubeletConfiguration", g.Kubelet, known, reservedKubelet()) {
			faults = append(faults, fmt.Errorf("kubelet: %w", err))
		}
	}
	return faults
}

// CheckLabel returns an error for a label that users cannot set.
func CheckLabel(name, value string) error {
	if problems := validation.IsQualifiedName(name); len(problems) > 0 {
		return fmt.Errorf("invalid label %q: %s", name, problems[0])
	}
	if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
		return fmt.Errorf("invalid value %q of label %s: %s", value, name, problems[0])
	}
	if ownedLabel(name) {
		return fmt.Errorf("label %s cannot be set: Kubernetes or Skiff sets it itself", name)
	}
	return nil
}

// ownedLabel reports whether Kubernetes or Skiff sets a label, so that users cannot.
func ownedLabel(name string) bool {
	owned := []string{
		corev1.LabelHostname, corev1.LabelOSStable, corev1.LabelArchStable, corev1.LabelInstanceTypeStable, corev1.LabelInstanceType,
		corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion,
		names.LabelNodeRolePrefix + string(nodeconfig.RoleControlPlane), names.LabelNodeRolePrefix + string(nodeconfig.RoleWorker),
		"beta.kubernetes.io/os", "beta.kubernetes.io/arch",
	}
	return slices.Contains(owned, name) || strings.HasPrefix(name, "skiff.dev/")
}
