package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

// Span is the range within which a group is scaled. The number of nodes of a group whose
// span is the zero value is fixed.
type Span struct {
	Min int `json:"min"`
	Max int `json:"max"`
}

// Scaled reports whether the group is scaled.
func (s Span) Scaled() bool { return s != Span{} }

// clamp returns the number in the span that is closest to n.
func (s Span) clamp(n int) int { return max(s.Min, min(n, s.Max)) }

// String returns the span in the notation of ParseCount.
func (s Span) String() string { return fmt.Sprintf("%d..%d", s.Min, s.Max) }

// FormatCount returns a number of nodes, or a span if there is one, as ParseCount reads it.
func FormatCount(count int, span Span) string {
	if span.Scaled() {
		return span.String()
	}
	return strconv.Itoa(count)
}

// ParseCount reads a number of nodes, or MIN..MAX. The number is then the minimum.
func ParseCount(text string) (int, Span, error) {
	least, most, ranged := strings.Cut(text, "..")
	count, err := strconv.ParseInt(least, 10, 32)
	if !ranged {
		if err != nil {
			return 0, Span{}, fmt.Errorf("%q is not a whole number or a range such as 1..5", text)
		}
		return int(count), Span{}, nil
	}
	limit, wrong := strconv.ParseInt(most, 10, 32)
	if err != nil || wrong != nil {
		return 0, Span{}, fmt.Errorf("%q is not a range such as 1..5", text)
	}
	if limit == 0 {
		return 0, Span{}, fmt.Errorf("the maximum of %q must be at least 1", text)
	}
	return int(count), Span{Min: int(count), Max: int(limit)}, nil
}

// validateCount returns what is wrong with a number of nodes; key is for users.
func validateCount(key string, count int, span Span) []error {
	switch {
	case !span.Scaled() && (count < 0 || count > MaxWorkers):
		return []error{fmt.Errorf("%s is %d: it must be between 0 and %d", key, count, MaxWorkers)}
	case !span.Scaled():
		return nil
	case span.Min < 0 || span.Max > MaxWorkers:
		return []error{fmt.Errorf("%s is %s: both must be between 0 and %d", key, span, MaxWorkers)}
	case span.Min > span.Max:
		return []error{fmt.Errorf("%s is %s: the minimum must not be greater than the maximum", key, span)}
	case count < span.Min || count > span.Max:
		return []error{fmt.Errorf("%s is %d: it must be between %d and %d", key, count, span.Min, span.Max)}
	}
	return nil
}

// most returns the largest number of nodes that the group may have.
func (g Group) most() int { return max(g.Count, g.Span.Max, 0) }

// Settled returns the spec with the current number of nodes of each group that is scaled,
// which the autoscaler chose, as far as the group's span allows it. A group that the current
// spec does not have starts with its minimum.
func (s Spec) Settled(current Spec) Spec {
	had := map[string]int{}
	for _, g := range Groups(current) {
		had[g.Name] = g.Count
	}
	if s.WorkersSpan.Scaled() {
		s.Workers = s.WorkersSpan.clamp(had[nodeconfig.GroupWorkers])
	}
	s.Nodes = slices.Clone(s.Nodes)
	for i, g := range s.Nodes {
		if g.Span.Scaled() {
			s.Nodes[i].Count = g.Span.clamp(had[g.Name])
		}
	}
	return s
}

// ScaledGroups returns the groups that are scaled.
func ScaledGroups(spec Spec) []Group {
	return slices.DeleteFunc(Groups(spec), func(g Group) bool { return !g.Span.Scaled() })
}

// Autoscaling says how groups are scaled.
type Autoscaling struct {
	// Idle is how long a node must not have been needed until it is removed, as ParseKeep
	// reads it.
	Idle string `json:"idle,omitempty"`
}

const (
	defaultScaleIdle = "10m"
	minScaleIdle     = 5 * time.Second
	maxScaleIdle     = 30 * day
)

// withDefaults fills in an empty field, which an older state file does not have.
func (a Autoscaling) withDefaults() Autoscaling {
	a.Idle = cmp.Or(a.Idle, defaultScaleIdle)
	return a
}

// After returns how long a node must not have been needed until it is removed. The setting
// is valid.
func (a Autoscaling) After() time.Duration {
	after, _ := ParseKeep(a.withDefaults().Idle)
	return after
}

func (a Autoscaling) validate() []error {
	after, err := ParseKeep(a.withDefaults().Idle)
	if err != nil {
		return []error{fmt.Errorf("invalid autoscaling.idle %q: use how long a node must not have been needed, such as 10m", a.Idle)}
	}
	if after < minScaleIdle || after > maxScaleIdle {
		return []error{fmt.Errorf("autoscaling.idle is %s: it must be between %s and %dd", a.Idle, minScaleIdle, maxScaleIdle/day)}
	}
	return nil
}

// Fresh returns the nodes that a scaled group may still get, in the order in which it gets
// them.
func (s State) Fresh(group Group) []Node {
	grown, err := s.Spec.Resized(group.Name, max(group.Span.Max-group.Count, 0))
	if err != nil {
		return nil
	}
	desired := s.Desired()
	return slices.DeleteFunc(Nodes(grown, s.Machines), func(n Node) bool {
		return n.Group != group.Name || hasNode(desired, n.Name) || n.number() == 0
	})
}

// Grow returns the state with more nodes of a scaled group, within its span, and the names
// of the new nodes. They are marked as new until they are Ready.
func (s State) Grow(group string, count int) (State, []string, error) {
	g := GroupOf(s.Spec, group+"-1")
	fresh := s.Fresh(g)
	if count < 1 || count > len(fresh) {
		return s, nil, fmt.Errorf("group %s cannot get %d more nodes: it has %d of %s", group, count, g.Count, g.Span)
	}
	before := s.Names()
	var err error
	if s.Spec, err = s.Spec.Resized(group, count); err != nil {
		return s, nil, err
	}
	s.Machines = Remember(s.Machines, s.Spec)
	var added []string
	for i, m := range s.Machines {
		if !slices.Contains(before, m.Name) {
			s.Machines[i].New = true
			added = append(added, m.Name)
		}
	}
	return s, added, nil
}

// Unfinished returns the nodes of scaled groups that are being added, removed or drained.
func (s State) Unfinished() (added, removed, drained []string) {
	for _, m := range s.Machines {
		if !GroupOf(s.Spec, m.Name).Span.Scaled() {
			continue
		}
		switch desired := s.IsDesired(m.Name); {
		case !desired:
			removed = append(removed, m.Name)
		case m.New:
			added = append(added, m.Name)
		case m.Cordoned:
			drained = append(drained, m.Name)
		}
	}
	return added, removed, drained
}

// ScalePlan returns the steps of Plan that concern the named nodes.
func ScalePlan(spec Spec, observed Observed, names []string) []Step {
	var p planner
	for _, step := range Plan(spec, observed) {
		switch step.Action {
		case ActionCreate, ActionStart, ActionBoot, ActionJoin, ActionWait, ActionLabel, ActionDrain, ActionDelete, ActionUncordon:
			if slices.Contains(names, step.Node) {
				p.add(step.Action, step.Node, step.Reason, step.After...)
			}
		}
	}
	return p.steps
}

// SizeOf returns the size of a group's machines.
func SizeOf(g Group) Size { return g.size() }
