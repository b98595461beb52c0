package cluster

import (
	"errors"
	"fmt"
	"slices"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Size is the size of a machine.
type Size struct {
	CPUs      int `json:"cpus,omitempty"`
	MemoryMiB int `json:"memoryMiB,omitempty"`
	DiskMiB   int `json:"diskMiB,omitempty"`
}

// Machine is what the host remembers of a machine that exists or may exist.
type Machine struct {
	// Name is the name of its node: GROUP-INDEX.
	Name string `json:"name"`
	// Number is its host number in the machines' subnet, which determines its addresses. It
	// never changes.
	Number int `json:"number"`
	// DiskMiB is the size of its disk.
	DiskMiB int `json:"diskMiB,omitempty"`
	// Arch is its architecture if that is not the one of this host.
	Arch string `json:"arch,omitempty"`
	// Removing is set if the user asked for the removal of this machine.
	Removing bool `json:"removing,omitempty"`
	// Replacing is set until the machine has been deleted, so that a new one can take its
	// place.
	Replacing bool `json:"replacing,omitempty"`
	// New is set until a node that the autoscaler has added is Ready.
	New bool `json:"new,omitempty"`
	// LacksImages is set until a machine that is newer than the cluster has the images that
	// were loaded onto all nodes.
	LacksImages bool `json:"lacksImages,omitempty"`
	// Cordoned is set while Skiff keeps new pods off the node.
	Cordoned bool `json:"cordoned,omitempty"`
	// Labels and Taints are those that Skiff has set on the Node object.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []string          `json:"taints,omitempty"`
	// Image is the one with which the node is known to work, while the cluster is being
	// upgraded.
	Image Image `json:"image,omitzero"`
	// Cluster is the name of the cluster for which the Node object was made, if that is
	// another one: the provider's ID in the object has it and cannot change.
	Cluster string `json:"cluster,omitempty"`
}

// Nodes returns the nodes of spec: control planes, plain workers, then those of the other
// groups. Nodes of known machines keep their names and addresses. A group that shrinks loses
// the nodes with the highest indexes, unless others are being removed.
func Nodes(spec Spec, known []Machine) []Node {
	var nodes []Node
	taken := map[int]bool{}
	for _, m := range known {
		taken[m.Number] = true
	}
	for _, group := range Groups(spec) {
		for _, index := range indexes(group, known) {
			name := fmt.Sprintf("%s-%d", group.Name, index)
			number := 0
			if m, ok := findMachine(known, name); ok {
				number = m.Number
			} else {
				number = freeNumber(group.Name, index, taken)
				taken[number] = true
			}
			nodes = append(nodes, node(spec, group, index, number))
		}
	}
	return nodes
}

// indexes returns the indexes of a group's nodes, the lowest first.
func indexes(group Group, known []Machine) []int {
	var all []int
	taken := map[int]bool{}
	for _, m := range known {
		if of, index, _ := nodeconfig.SplitName(m.Name); of == group.Name {
			taken[index] = true
			if !m.Removing {
				all = append(all, index)
			}
		}
	}
	slices.Sort(all)
	if len(all) > group.Count {
		all = all[:max(group.Count, 0)]
	}
	for index := 1; len(all) < group.Count; index++ {
		if !taken[index] {
			all = append(all, index)
		}
	}
	slices.Sort(all)
	return all
}

// freeNumber returns a host number that is not taken, 0 if there is none. Control planes
// and plain workers count up from their first number. Other nodes get the highest free
// number, so that they rarely take one that a plain worker would get.
func freeNumber(group string, index int, taken map[int]bool) int {
	first, last, preferred := workerNumber, balancerNumber-1, 0
	switch group {
	case nodeconfig.GroupControlPlanes:
		first, last = controlPlaneNumber, controlPlaneNumber+maxControlPlanes-1
		preferred = first + index - 1
	case nodeconfig.GroupWorkers:
		preferred = first + index - 1
	}
	if preferred >= first && preferred <= last && !taken[preferred] {
		return preferred
	}
	for number := last; number >= first; number-- {
		if !taken[number] {
			return number
		}
	}
	return 0
}

// Remember returns the known machines, and those of the nodes of spec that are new.
func Remember(known []Machine, spec Spec) []Machine {
	all := slices.Clone(known)
	for _, n := range Nodes(spec, known) {
		if _, ok := findMachine(all, n.Name); !ok {
			all = append(all, NewMachine(spec, n))
		}
	}
	return all
}

// NewMachine returns what is known of a machine that does not exist yet. Its node
// registers with the marks.
func NewMachine(spec Spec, n Node) Machine {
	marks := MarksOf(spec, n.Name)
	return Machine{Name: n.Name, Number: n.number(), Arch: n.Arch, Labels: registered(marks.Labels), Taints: marks.Taints}
}

// Desired returns the desired nodes of the cluster.
func (s State) Desired() []Node { return Nodes(s.Spec, s.Machines) }

// IsDesired reports whether a node is desired.
func (s State) IsDesired(name string) bool { return hasNode(s.Desired(), name) }

func hasNode(all []Node, name string) bool {
	return slices.ContainsFunc(all, func(n Node) bool { return n.Name == name })
}

// Machine returns what is known of a machine; false if nothing is.
func (s State) Machine(name string) (Machine, bool) { return findMachine(s.Machines, name) }

// Find returns the node of a machine that exists or may exist, desired or not.
func (s State) Find(name string) (Node, bool) {
	m, ok := s.Machine(name)
	if !ok {
		return Node{}, false
	}
	_, index, _ := nodeconfig.SplitName(name)
	found := node(s.Spec, GroupOf(s.Spec, name), index, m.Number)
	found.Arch = m.Arch // also if its group is gone
	return found, true
}

// Names returns the names of all machines that exist or may exist.
func (s State) Names() []string {
	var all []string
	for _, m := range s.Machines {
		all = append(all, m.Name)
	}
	return all
}

// Leaving returns the control planes that exist, or may exist, and are no longer
// desired. They are members of etcd until they have left it.
func (s State) Leaving() []Node {
	desired := s.Desired()
	var leaving []Node
	for _, m := range s.Machines {
		if n, _ := s.Find(m.Name); IsControlPlane(m.Name) && !hasNode(desired, m.Name) {
			leaving = append(leaving, n)
		}
	}
	return leaving
}

// Retain returns the machines of desired nodes, all of which are Ready.
func (s State) Retain() []Machine {
	desired := s.Desired()
	var all []Machine
	for _, m := range s.Machines {
		if m.New = false; hasNode(desired, m.Name) {
			all = append(all, m)
		}
	}
	return all
}

func findMachine(all []Machine, name string) (Machine, bool) {
	i := machineIndex(all, name)
	if i < 0 {
		return Machine{}, false
	}
	return all[i], true
}

// machineIndex returns the index of a machine, -1 if there is none with that name.
func machineIndex(all []Machine, name string) int {
	return slices.IndexFunc(all, func(m Machine) bool { return m.Name == name })
}

// validateMachines returns what is wrong with remembered machines.
func validateMachines(all []Machine) error {
	var faults []error
	seen := map[string]bool{}
	taken := map[int]bool{}
	for _, m := range all {
		first, last := workerNumber, balancerNumber-1
		if IsControlPlane(m.Name) {
			first, last = controlPlaneNumber, controlPlaneNumber+maxControlPlanes-1
		}
		switch group, _, ok := nodeconfig.SplitName(m.Name); {
		case !ok || checkGroupName(group) != nil:
			faults = append(faults, fmt.Errorf("invalid node name %q", m.Name))
		case m.Number < first || m.Number > last:
			faults = append(faults, fmt.Errorf("invalid host number %d of %s", m.Number, m.Name))
		case seen[m.Name] || taken[m.Number]:
			faults = append(faults, fmt.Errorf("duplicate name or host number: %s, %d", m.Name, m.Number))
		}
		seen[m.Name], taken[m.Number] = true, true
	}
	return errors.Join(faults...)
}
