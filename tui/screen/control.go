package screen

import (
	"fmt"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/nodeagent/nodeapi"
	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// Control shows how the control plane of a cluster is.
type Control struct {
	cluster string
	state   feed.ControlPlaneStatus
	etcd    map[string]feed.EtcdMember // by name
	latency widget.Series
	rate    widget.Series
	text    widget.Text
}

// NewControl returns the screen of a cluster's control plane.
func NewControl(cluster string) *Control { return &Control{cluster: cluster} }

// Crumb is Screen's.
func (c *Control) Crumb() string { return "control plane" }

// Title is Screen's.
func (c *Control) Title() string {
	return "Control plane of " + c.cluster + "  " + c.state.Version
}

// Scopes is Screen's.
func (c *Control) Scopes() []keys.Scope { return []keys.Scope{keys.Text} }

// Needs is Screen's.
func (c *Control) Needs() []feed.Need {
	return []feed.Need{feed.ControlPlane{Cluster: c.cluster}, feed.Etcd{Cluster: c.cluster}}
}

// Freshness is Dated's.
func (c *Control) Freshness() object.Freshness { return c.state.Freshness }

// Take is Screen's.
func (c *Control) Take(_ *World, delivery any) {
	if d, ok := delivery.(feed.EtcdMembers); ok && d.Cluster == c.cluster {
		c.etcd = map[string]feed.EtcdMember{}
		for _, m := range d.All {
			c.etcd[m.Name] = m
		}
	}
	if d, ok := delivery.(feed.ControlPlaneStatus); ok && d.Cluster == c.cluster {
		c.state = d
		if d.State == object.Live {
			c.latency = c.latency.Add(d.Latency.Seconds() * 1000)
			c.rate = c.rate.Add(d.RequestsPerS)
		}
	}
}

// Wheel is Pointed's.
func (c *Control) Wheel(n int) { c.text.Move(3 * n) }

// Click is Pointed's.
func (c *Control) Click(int, int) (bool, []Request) { return false, nil }

// Act is Screen's.
func (c *Control) Act(_ *World, a keys.Action) []Request {
	scrollText(&c.text, a)
	return nil
}

// View is Screen's.
func (c *Control) View(w *World, width, height int) []string {
	if c.state.At.IsZero() {
		text := loading
		if c.state.Problem != "" {
			text = c.state.Problem
		}
		return []string{"", "  " + w.Theme.Paint(theme.Dim, text)}
	}
	top := panel(w.Theme, "API server", width, c.server(w.Theme, width)...)
	room := width
	if width >= wideDetails {
		room = width/2 - 1
	}
	left := append(c.members(w, room), c.leases(w, room)...)
	right := append(c.certificates(w, room), c.checks(w.Theme, room)...)
	var lines []string
	if room < width {
		lines = append(top, beside(left, right, room, 2)...)
	} else {
		lines = append(append(top, left...), right...)
	}
	for i, l := range lines {
		lines[i] = widget.Cut(l, width)
	}
	c.text.Set(strings.Join(lines, "\n"))
	return c.text.View(w.Theme, width, height)
}

func (c *Control) server(th *theme.Theme, width int) []string {
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
	for _, check := range c.state.Checks {
		if !check.OK {
			failing++
		}
	}
	health := th.Paint(theme.Good, fmt.Sprintf("healthy, %d checks passed", len(c.state.Checks)))
	if failing > 0 {
		health = th.Paint(theme.Bad, fmt.Sprintf("failing, %d of %d checks failed", failing, len(c.state.Checks)))
	}
	store := "-"
	if c.state.EtcdBytes > 0 {
		store = bytes(c.state.EtcdBytes)
	}
	return []string{
		line("health", health, nil),
		line("latency", fmt.Sprintf("%.1f ms", c.state.Latency.Seconds()*1000), c.latency),
		line("requests", fmt.Sprintf("%.0f/s", c.state.RequestsPerS), c.rate),
		line("in flight", fmt.Sprint(c.state.InFlight), nil),
		line("etcd", store+", "+count(int(c.state.EtcdObjects), "object", "objects"), nil), "",
	}
}

func (c *Control) members(w *World, width int) []string {
	var lines []string
	for _, m := range c.state.Members {
		state := map[string]string{"True": "Ready", "False": "NotReady"}[m.Ready]
		if state == "" {
			state = "Unknown"
		}
		role := ""
		if m.Leader {
			role = w.Theme.Paint(theme.Accent, "leader")
		}
		lines = append(lines, "  "+w.Theme.Paint(toneOf(state), "● ")+widget.Fit(m.Name, 20)+w.Theme.Paint(toneOf(state), widget.Fit(state, 10))+widget.Fit(m.Address, 17)+role)
		if m.API != "" {
			lines = append(lines, "    "+apiLine(w.Theme, m))
		}
		if e, ok := c.etcd[m.Name]; ok {
			lines = append(lines, "    "+etcdLine(w.Theme, e))
		}
		if held := certificatesOf(w.Hosts[c.cluster], m.Name); len(held) > 0 {
			lines = append(lines, "    "+heldLine(w, held))
		}
	}
	if len(lines) == 0 {
		lines = []string{"  " + w.Theme.Paint(theme.Dim, "no control-plane nodes found")}
	}
	return append(panel(w.Theme, "Members", width, lines...), "")
}

// apiLine is how a member's own API server is.
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

// etcdLine is what a member's database says.
func etcdLine(th *theme.Theme, m feed.EtcdMember) string {
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
	text := th.Paint(theme.Dim, "etcd "+role+", "+bytes(m.DatabaseBytes)+", "+bytes(m.InUseBytes)+" in use")
	if m.RaftIndex > 0 {
		text += th.Paint(theme.Dim, fmt.Sprintf(", raft index %d", m.RaftIndex))
	}
	if len(m.Alarms) > 0 {
		text += "  " + th.Paint(theme.Bad, strings.Join(m.Alarms, ", "))
	}
	return text
}

// certificatesOf are those that a node of this host holds.
func certificatesOf(cluster daemonapi.ClusterStatus, node string) []nodeapi.Certificate {
	for _, n := range cluster.Nodes {
		if n.Name == node {
			return n.Certificates
		}
	}
	return nil
}

// heldLine names the first of a member's certificates to end.
func heldLine(w *World, held []nodeapi.Certificate) string {
	text, tone := firstOf(w.Now, held)
	if tone == theme.Good {
		tone = theme.Dim
	}
	return w.Theme.Paint(tone, count(len(held), "certificate", "certificates")+", "+text)
}

// firstOf says which of the certificates that a node holds ends first, and when.
func firstOf(now time.Time, held []nodeapi.Certificate) (string, theme.Tone) {
	text, tone := expiry(now, held[0].Expires)
	return held[0].Name + " " + text, tone
}

// expiry says when a certificate ends.
func expiry(now, end time.Time) (string, theme.Tone) {
	switch rest := end.Sub(now); {
	case rest <= 0:
		return "expired " + end.Format(time.DateOnly), theme.Bad
	case rest < daemonapi.CertificateSoon:
		return "expires in " + object.Age(now, end), theme.Warn
	default:
		return "expires in " + object.Age(now, end), theme.Good
	}
}

func (c *Control) leases(w *World, width int) []string {
	var lines []string
	for _, l := range c.state.Leases {
		age, tone := w.Now.Sub(l.Renewed), theme.Dim
		if age > time.Minute {
			tone = theme.Warn
		}
		lines = append(lines, "  "+w.Theme.Paint(theme.Accent, widget.Fit(l.Name, 30))+widget.Fit(l.Holder, 20)+w.Theme.Paint(tone, " "+object.Age(l.Renewed, w.Now)+" ago"))
	}
	return append(panel(w.Theme, "Leases", width, lines...), "")
}

func (c *Control) certificates(w *World, width int) []string {
	var lines []string
	for _, cert := range c.state.Certs {
		text, tone := expiry(w.Now, cert.Expires)
		lines = append(lines, "  "+widget.Fit(cert.Name, 14)+w.Theme.Paint(tone, widget.Fit(text, 20))+w.Theme.Paint(theme.Dim, cert.Subject))
	}
	return append(panel(w.Theme, "Client-facing certificates", width, lines...), "")
}

// checks are the parts of /readyz, those that fail first.
func (c *Control) checks(th *theme.Theme, width int) []string {
	var bad, good []string
	for _, check := range c.state.Checks {
		if check.OK {
			good = append(good, "  "+th.Paint(theme.Good, "✓ ")+check.Name)
		} else {
			bad = append(bad, "  "+th.Paint(theme.Bad, "✗ "+check.Name+" "+check.Text))
		}
	}
	return panel(th, "Checks", width, append(bad, good...)...)
}
