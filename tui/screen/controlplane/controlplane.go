// Package controlplane is the screen that shows the state of a cluster's control
// plane.
package controlplane

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Screen shows the state of a control plane.
type Screen struct {
	cluster string
	state   feed.ControlPlaneStatus
	etcd    map[string]controlapi.EtcdMember // by name
	latency widget.Series
	rate    widget.Series
	text    widget.Text
}

// New returns the screen of a cluster.
func New(cluster string) *Screen { return &Screen{cluster: cluster} }

// Resume implements screen.Resumer.
func (s *Screen) Resume(earlier screen.Screen) {
	if e, ok := earlier.(*Screen); ok && e.cluster == s.cluster {
		s.latency, s.rate = e.latency, e.rate
	}
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return "control plane" }

// Title implements screen.Screen.
func (s *Screen) Title() string {
	return "Control plane of " + s.cluster + "  " + s.state.Version
}

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope { return []keys.Scope{keys.Text} }

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need {
	return []feed.Need{feed.ControlPlane{Cluster: s.cluster}, feed.Etcd{Cluster: s.cluster}}
}

// Start implements screen.Remembered.
func (s *Screen) Start() (view string, resource object.Resource) {
	return "controlplane", object.Resource{}
}

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness { return s.state.Freshness }

// Take implements screen.Screen.
func (s *Screen) Take(_ *screen.World, delivery any) {
	if d, ok := delivery.(feed.EtcdMembers); ok && d.Cluster == s.cluster {
		s.etcd = map[string]controlapi.EtcdMember{}
		for _, m := range d.All {
			s.etcd[m.Name] = m
		}
	}
	if d, ok := delivery.(feed.ControlPlaneStatus); ok && d.Cluster == s.cluster {
		s.state = d
		if d.State == object.Live {
			s.latency = s.latency.Add(d.Latency.Seconds() * 1000)
			s.rate = s.rate.Add(d.RequestsPerS)
		}
	}
}

// Wheel implements screen.Pointed.
func (s *Screen) Wheel(n int) { s.text.Move(3 * n) }

// Click implements screen.Pointed.
func (s *Screen) Click(int, int) (bool, []screen.Request) { return false, nil }

// Act implements screen.Screen.
func (s *Screen) Act(_ *screen.World, a keys.Action) []screen.Request {
	s.text.Act(a)
	return nil
}

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	if s.state.At.IsZero() {
		return []string{"", format.Note(w.Theme, cmp.Or(s.state.Problem, format.Loading))}
	}
	top := format.Panel(w.Theme, "API server", width, s.server(w.Theme, width)...)
	room := width
	if width >= format.WideDetails {
		room = width/2 - 1
	}
	left := append(s.members(w, room), s.leases(w, room)...)
	right := append(s.certificates(w, room), s.checks(w.Theme, room)...)
	var lines []string
	if room < width {
		lines = append(top, format.Beside(left, right, room, 2)...)
	} else {
		lines = append(append(top, left...), right...)
	}
	for i, l := range lines {
		lines[i] = widget.Cut(l, width)
	}
	s.text.Set(strings.Join(lines, "\n"))
	return s.text.View(w.Theme, width, height)
}

func (s *Screen) server(th *theme.Theme, width int) []string {
	graph := max(10, min(60, width-40))
	line := func(name, now string, s widget.Series) string {
		text := "  " + th.Paint(theme.Dim, widget.Fit(name, 12))
		if s == nil {
			text += now
		} else {
			text += widget.Fit(now, 14) + th.Paint(theme.Good, widget.Spark(s, graph, 0))
		}
		return text
	}
	failing := 0
	for _, check := range s.state.Checks {
		if !check.OK {
			failing++
		}
	}
	health := th.Paint(theme.Good, fmt.Sprintf("healthy, %d checks passed", len(s.state.Checks)))
	if failing > 0 {
		health = th.Paint(theme.Bad, fmt.Sprintf("failing, %d of %d checks failed", failing, len(s.state.Checks)))
	}
	return []string{
		line("health", health, nil),
		line("latency", fmt.Sprintf("%.1f ms", s.state.Latency.Seconds()*1000), s.latency),
		line("requests", fmt.Sprintf("%.0f/s", s.state.RequestsPerS), s.rate),
		line("in flight", fmt.Sprint(s.state.InFlight), nil),
		line("etcd", format.Known(s.state.EtcdBytes)+", "+format.Count(int(s.state.EtcdObjects), "object", "objects"), nil), "",
	}
}

func (s *Screen) members(w *screen.World, width int) []string {
	var lines []string
	for _, m := range s.state.Members {
		state := map[string]string{"True": "Ready", "False": "NotReady"}[m.Ready]
		if state == "" {
			state = "Unknown"
		}
		role := ""
		if m.Leader {
			role = w.Theme.Paint(theme.Accent, "leader")
		}
		lines = append(lines, "  "+w.Theme.Paint(format.StateTone(state), "● ")+widget.Fit(m.Name, 20)+w.Theme.Paint(format.StateTone(state), widget.Fit(state, 10))+widget.Fit(m.Address, 17)+role)
		if m.API != "" {
			lines = append(lines, "    "+apiLine(w.Theme, m))
		}
		if e, ok := s.etcd[m.Name]; ok {
			lines = append(lines, "    "+etcdLine(w.Theme, e))
		}
		if held := certificatesOf(w.Hosts[s.cluster], m.Name); len(held) > 0 {
			lines = append(lines, "    "+heldLine(w, held))
		}
	}
	if len(lines) == 0 {
		lines = []string{"  " + w.Theme.Paint(theme.Dim, "no control-plane nodes found")}
	}
	return append(format.Panel(w.Theme, "Members", width, lines...), "")
}

// apiLine describes the API server of a member.
func apiLine(th *theme.Theme, m feed.Member) string {
	text, tone := "API "+m.API, theme.Dim
	if m.API != "ready" {
		tone = theme.Bad
	}
	if m.Latency > 0 {
		text += fmt.Sprintf(", %.1f ms", m.Latency.Seconds()*1000)
	}
	return th.Paint(tone, text)
}

// etcdLine describes the etcd of a member.
func etcdLine(th *theme.Theme, m controlapi.EtcdMember) string {
	if m.Error != "" {
		return th.Paint(theme.Bad, "etcd is not responding: "+m.Error)
	}
	role := "follower"
	switch {
	case m.Leader:
		role = "leader"
	case m.Learner:
		role = "learner"
	}
	text := th.Paint(theme.Dim, "etcd "+role+", "+format.Bytes(m.DatabaseBytes)+", "+format.Bytes(m.InUseBytes)+" in use")
	if m.RaftIndex > 0 {
		text += th.Paint(theme.Dim, fmt.Sprintf(", raft index %d", m.RaftIndex))
	}
	if len(m.Alarms) > 0 {
		text += "  " + th.Paint(theme.Bad, strings.Join(m.Alarms, ", "))
	}
	return text
}

// certificatesOf returns the certificates that a node of this host holds.
func certificatesOf(cluster daemonapi.ClusterStatus, node string) []nodeapi.Certificate {
	for _, n := range cluster.Nodes {
		if n.Name == node {
			return n.Certificates
		}
	}
	return nil
}

// heldLine describes the certificates that a member holds.
func heldLine(w *screen.World, held []nodeapi.Certificate) string {
	text, tone := format.FirstCertificate(w.Now, held)
	if tone == theme.Good {
		tone = theme.Dim
	}
	return w.Theme.Paint(tone, format.Count(len(held), "certificate", "certificates")+", "+text)
}

func (s *Screen) leases(w *screen.World, width int) []string {
	var lines []string
	for _, l := range s.state.Leases {
		age, tone := "renewed "+object.Age(l.Renewed, w.Now)+" ago", theme.Dim
		if l.Expired(w.Now) {
			age, tone = "expired, "+age, theme.Warn
		}
		lines = append(lines, "  "+w.Theme.Paint(theme.Accent, widget.Fit(l.Name, 22))+widget.Fit(l.Holder, 17)+w.Theme.Paint(tone, " "+age))
	}
	return append(format.Panel(w.Theme, "Leases", width, lines...), "")
}

func (s *Screen) certificates(w *screen.World, width int) []string {
	var lines []string
	for _, cert := range s.state.Certs {
		text, tone := format.Expiry(w.Now, cert.Expires)
		lines = append(lines, "  "+widget.Fit(cert.Name, 14)+w.Theme.Paint(tone, widget.Fit(text, 20))+w.Theme.Paint(theme.Dim, cert.Subject))
	}
	return append(format.Panel(w.Theme, "Client-facing certificates", width, lines...), "")
}

// checks lists the checks of /readyz, failing ones first.
func (s *Screen) checks(th *theme.Theme, width int) []string {
	var failed, passed []string
	for _, check := range s.state.Checks {
		if check.OK {
			passed = append(passed, "  "+th.Paint(theme.Good, "✓ ")+check.Name)
		} else {
			failed = append(failed, "  "+th.Paint(theme.Bad, "✗ "+check.Name+" "+check.Text))
		}
	}
	return format.Panel(th, "Checks", width, append(failed, passed...)...)
}
