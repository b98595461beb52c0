package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/images/manifest"
	"github.com/skiff-dev/skiff/internal/kubenames"
)

// Image identifies the node image of a cluster's machines.
type Image struct {
	// Digest covers its content: "sha256:…".
	Digest string `json:"digest"`
	// Foreign is the digest of the same release's image for machines of another architecture
	// than this host's; empty if the cluster has none.
	Foreign string `json:"foreign,omitempty"`
	// Kubernetes is the release that its nodes run: "v1.36.3".
	Kubernetes string `json:"kubernetes"`
}

// Upgrade moves the nodes of a cluster from one node image to another. It is part of the
// state until all nodes have the new one, or none has.
type Upgrade struct {
	From Image `json:"from"`
	To   Image `json:"to"`
	// Saved is set once a snapshot of etcd from before the upgrade is on the host's disk.
	Saved bool `json:"saved,omitempty"`
	// Failed is why the upgrade ended before all nodes had the new image; empty while it is
	// in progress. Users have to start it again.
	Failed string `json:"failed,omitempty"`
}

// Active reports whether there is an upgrade that plans continue.
func (u *Upgrade) Active() bool { return u != nil && u.Failed == "" }

// Change describes, for users, what differs between two images.
func (i Image) Change(to Image) string {
	if i.Kubernetes != to.Kubernetes {
		return fmt.Sprintf("Kubernetes %s → %s", i.Kubernetes, to.Kubernetes)
	}
	if i.Digest == to.Digest && i.Foreign != to.Foreign {
		return fmt.Sprintf("emulated nodes' image %s → %s", short(i.Foreign), short(to.Foreign))
	}
	return fmt.Sprintf("node image %s → %s", short(i.Digest), short(to.Digest))
}

// short returns the beginning of a digest, which tells images of a release apart.
func short(digest string) string {
	const digits = 12
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(len(digest), digits)]
}

// DigestFor returns the digest of the image for a node's machine.
func (i Image) DigestFor(n Node) string {
	if n.Arch != "" {
		return i.Foreign
	}
	return i.Digest
}

// ImageOf returns the image with which a machine starts. Without an upgrade that is current,
// the cluster's own. During one it is the image with which the node is known to work. A new
// machine gets the new image only once all control planes have it, because a kubelet must
// not be newer than any API server.
func (s State) ImageOf(name string, current Image) Image {
	if s.Upgrade == nil {
		return current
	}
	return s.Upgrade.imageOf(name, s.Machines)
}

func (u *Upgrade) imageOf(name string, known []Machine) Image {
	if m, ok := findMachine(known, name); ok && m.Image != (Image{}) {
		return m.Image
	}
	if slices.ContainsFunc(known, func(m Machine) bool {
		return IsControlPlane(m.Name) && m.Image != (Image{}) && m.Image != u.To
	}) {
		return u.From
	}
	return u.To
}

// BeginUpgrade begins an upgrade from current, the cluster's image, or continues one that is
// not finished. It changes nothing if all nodes have the image already.
func (s *State) BeginUpgrade(current, to Image) {
	switch {
	case s.Upgrade != nil:
		s.Upgrade = &Upgrade{From: s.Upgrade.From, To: to, Saved: s.Upgrade.Saved}
	case current != to:
		s.Upgrade = &Upgrade{From: current, To: to}
		s.Machines = slices.Clone(s.Machines)
		for i := range s.Machines {
			s.Machines[i].Image = current
		}
	default:
		return
	}
	s.Spec.KubernetesVersion = manifest.Minor(to.Kubernetes)
	s.EndUpgrade()
}

// Upgraded records that a node works with the new image, and ends the upgrade if it is the
// last one.
func (s *State) Upgraded(name string) {
	s.Machines = slices.Clone(s.Machines)
	if i := machineIndex(s.Machines, name); i >= 0 && s.Upgrade != nil {
		s.Machines[i].Image = s.Upgrade.To
	}
	s.EndUpgrade()
}

// UpgradeFailed records that a node did not work with the new image. The upgrade is over if
// no other node has it: the cluster is what it was before.
func (s *State) UpgradeFailed(reason string) {
	if s.Upgrade == nil {
		return
	}
	u := *s.Upgrade
	u.Failed = reason
	s.Upgrade = &u
	if s.onImage(u.From) {
		s.Upgrade.To = u.From
		s.Spec.KubernetesVersion = manifest.Minor(u.From.Kubernetes)
	}
	s.EndUpgrade()
}

// EndUpgrade ends an upgrade if all nodes have the new image.
func (s *State) EndUpgrade() {
	if s.Upgrade == nil || !s.onImage(s.Upgrade.To) {
		return
	}
	s.Image, s.ForeignImage, s.Upgrade = s.Upgrade.To.Digest, s.Upgrade.To.Foreign, nil
	s.Machines = slices.Clone(s.Machines)
	for i := range s.Machines {
		s.Machines[i].Image = Image{}
	}
}

// onImage reports whether all desired nodes have an image.
func (s *State) onImage(image Image) bool {
	return !slices.ContainsFunc(s.Desired(), func(n Node) bool {
		return s.Upgrade.imageOf(n.Name, s.Machines).DigestFor(n) != image.DigestFor(n)
	})
}

// UpgradeTarget returns the image that a node has to get; false if it has the right one.
func (s State) UpgradeTarget(name string) (Image, bool) {
	n, _ := s.Find(name)
	if !s.Upgrade.Active() || s.Upgrade.imageOf(name, s.Machines).DigestFor(n) == s.Upgrade.To.DigestFor(n) {
		return Image{}, false
	}
	return s.Upgrade.To, true
}

// Renew replaces the record of a node's machine by that of a new one.
func (s *State) Renew(n Node) {
	fresh := NewMachine(s.Spec, n)
	s.Machines = slices.Clone(s.Machines)
	i := machineIndex(s.Machines, n.Name)
	if i < 0 {
		return
	}
	fresh.New = s.Machines[i].New
	fresh.LacksImages = s.Formed
	fresh.Cluster = s.Machines[i].Cluster // the Node object may stay
	s.Machines[i] = fresh
	if s.Upgrade != nil {
		s.Machines[i].Image = s.Upgrade.imageOf(n.Name, s.Machines)
	}
}

// CheckUpgrade returns why the nodes of a cluster, whose image is current, cannot be upgraded
// to a minor version of Kubernetes: upstream's version skew policy allows control planes to
// move forward by one minor version at a time.
func CheckUpgrade(state State, current Image, version string) error {
	was := manifest.Minor(current.Kubernetes)
	if u := state.Upgrade; u != nil {
		if to := manifest.Minor(u.To.Kubernetes); to != version {
			return fmt.Errorf("the upgrade from Kubernetes %s to %s is not finished: run \"skiff upgrade %s --kubernetes %s\" first", u.From.Kubernetes, u.To.Kubernetes, state.Spec.Name, to)
		}
		return nil
	}
	return checkPath(state.Spec.Name, was, version)
}

// checkPath returns an error, with the way to go, if a cluster cannot be upgraded directly
// from one minor version to another.
func checkPath(name, from, to string) error {
	was, is := minorNumber(from), minorNumber(to)
	switch {
	case was < 0 || is < 0:
		return fmt.Errorf("invalid version of Kubernetes %q: use a minor version such as %s", to, kubenames.Default)
	case is < was:
		return fmt.Errorf("it cannot go back from Kubernetes %s to %s, because an older control plane may not understand what the newer one has stored: create another cluster with \"skiff up %s-%s --kubernetes %s\", and move your workloads there",
			from, to, name, strings.ReplaceAll(to, ".", "-"), to)
	case is > was+1:
		var path []string
		for next := was + 1; next <= is; next++ {
			path = append(path, fmt.Sprintf("\"skiff upgrade %s --kubernetes 1.%d\"", name, next))
		}
		return fmt.Errorf("it cannot be upgraded from Kubernetes %s to %s at once, because control planes must not skip a minor version: run %s", from, to, strings.Join(path, ", then "))
	}
	return nil
}

// NextVersion returns the minor version that follows another one, to which clusters can be
// upgraded: "1.37" for "1.36". It returns "" if the text is not a minor version of Kubernetes.
func NextVersion(version string) string {
	number := minorNumber(version)
	if number < 0 {
		return ""
	}
	return fmt.Sprintf("1.%d", number+1)
}

// minorNumber returns 36 for "1.36", and -1 if the text is not a minor version of Kubernetes.
func minorNumber(version string) int {
	if !manifest.IsMinor(version) {
		return -1
	}
	number, err := strconv.Atoi(strings.TrimPrefix(version, "1."))
	if err != nil {
		return -1
	}
	return number
}

// changeOfVersion returns why "up" does not change the version of Kubernetes, and how else
// it can be changed.
func changeOfVersion(name, was, is string) error {
	if was == "" || is == "" || was == is {
		return nil
	}
	text := fmt.Sprintf("kubernetes.version cannot change from %s to %s with \"skiff up\"", was, is)
	if err := checkPath(name, was, is); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return fmt.Errorf("%s: run \"skiff upgrade %s --kubernetes %s\"", text, name, is)
}

// UpgradePlan is what an upgrade would do.
type UpgradePlan struct {
	From Image `json:"from"`
	To   Image `json:"to"`
	// Steps are none if all nodes have the image already.
	Steps []Step `json:"steps"`
	// Notes tell users what they may notice, one line each.
	Notes []string `json:"notes"`
}

// PlanUpgrade returns the plan of an upgrade of a cluster that is otherwise as desired.
// current is the cluster's image.
func PlanUpgrade(state State, observed Observed, current, to Image) UpgradePlan {
	plan := UpgradePlan{From: current, To: to, Steps: []Step{}, Notes: []string{}}
	if state.Upgrade != nil {
		plan.From = state.Upgrade.From
	}
	state.BeginUpgrade(current, to)
	if state.Upgrade == nil {
		return plan
	}
	observed.Upgrade, observed.Known = state.Upgrade, state.Machines
	plan.Steps = Plan(state.Spec, observed)
	plan.Notes = append(plan.Notes, upgradeNotes(state.Spec, plan)...)
	return plan
}

// upgradeNotes returns what users notice of an upgrade.
func upgradeNotes(spec Spec, plan UpgradePlan) []string {
	restarts := func(n string) bool {
		return slices.ContainsFunc(plan.Steps, func(s Step) bool { return s.Action == ActionRestart && s.Node == n })
	}
	var notes []string
	for _, n := range Nodes(spec, nil) {
		if IsControlPlane(n.Name) && spec.ControlPlanes == 1 && restarts(n.Name) {
			notes = append(notes, fmt.Sprintf("The Kubernetes API does not answer while %s, the only control plane, restarts; pods keep running.", n.Name))
		}
	}
	if len(Nodes(spec, nil)) == 1 && len(plan.Steps) > 0 {
		notes = []string{"The cluster has one node: its pods and the Kubernetes API stop while it restarts."}
	}
	return notes
}

// ErrUnsettled reports a cluster that has to be brought in order before an upgrade.
var ErrUnsettled = errors.New("the cluster is not as its configuration describes it")

// CheckSettled returns an error if something has to be done in a cluster that is not being
// upgraded.
func CheckSettled(state State, observed Observed) error {
	if state.Upgrade != nil {
		return nil
	}
	if steps := Plan(state.Spec, observed); len(steps) > 0 {
		return fmt.Errorf("%w: %s", ErrUnsettled, steps[len(steps)-1])
	}
	return nil
}

// outdated describes how the image of a machine has to change; it returns "" if it stays.
func (p *planner) outdated(name string) string {
	u := p.observed.Upgrade
	if !u.Active() || p.replaced(name) {
		return ""
	}
	was, n := u.imageOf(name, p.observed.Known), p.nodes[name]
	if was.DigestFor(n) == u.To.DigestFor(n) {
		return ""
	}
	return was.Change(u.To)
}

// save adds the snapshot of etcd before the first node gets another image. It returns the
// ID of the step, empty if there is none.
func (p *planner) save(after []string) string {
	u := p.observed.Upgrade
	if !u.Active() || u.Saved || !slices.ContainsFunc(p.desired, func(name string) bool { return p.outdated(name) != "" }) {
		return ""
	}
	p.add(ActionSnapshot, "", "before "+u.From.Change(u.To), after...)
	return id(ActionSnapshot, "")
}
