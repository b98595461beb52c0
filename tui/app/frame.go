package app

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// bodyTop is the first line of a screen's body, below the header and the title
// line.
const bodyTop = 2

// Minimum size of the window, in cells.
const (
	minWidth  = 40
	minHeight = 8
)

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(strings.Join(m.Frame(), "\n"))
	v.AltScreen = true
	v.MouseMode = tea.MouseModeCellMotion
	v.WindowTitle = "skiff " + strings.Join(m.world.Clusters, ", ")
	return v
}

// Frame returns the lines of the window. There are exactly as many as the window
// has, and none is wider.
func (m *Model) Frame() []string {
	if m.width < minWidth || m.height < minHeight {
		return widget.Box([]string{fmt.Sprintf("window too small: %d×%d, need %d×%d", m.width, m.height, minWidth, minHeight)}, m.width, m.height)
	}
	th := m.world.Theme
	lines := make([]string, 0, m.height)
	lines = append(lines, m.header(), m.titleLine())
	body := m.top().View(&m.world, m.width, m.height-bodyTop-1)
	lines = append(lines, widget.Box(body, m.width, m.height-bodyTop-1)...)
	lines = append(lines, m.footer())
	if m.overlay != nil {
		title, box := m.overlay.view(th, m.width)
		lines = widget.Dialog(th, lines, title, box, m.width)
	} else if m.prompt != nil && m.prompt.kind == ':' && len(m.prompt.all) > 0 {
		lines = m.completionBox(lines)
	}
	for i, line := range lines {
		lines[i] = widget.Safe(line, m.width)
	}
	return lines
}

// header returns the first line: the selected clusters with their state.
func (m *Model) header() string {
	th := m.world.Theme
	right := ""
	if m.world.ReadOnly {
		right += "read-only  "
	}
	if where := m.namespaceText(); where != "" {
		right += where + "  "
	}
	right += m.world.Now.Format("15:04:05") + " "
	room := m.width - widget.Width(right)
	if room < 20 {
		room, right = m.width, ""
	}
	left := m.clustersText(true)
	if widget.Width(left) >= room {
		left = m.clustersText(false)
	}
	return th.Paint(theme.Bar, widget.Fit(left, room)+right)
}

// clustersText describes the selected clusters, with or without details.
func (m *Model) clustersText(more bool) string {
	var parts []string
	for _, name := range m.world.Clusters {
		parts = append(parts, m.clusterText(name, more))
	}
	if len(parts) == 0 {
		parts = append(parts, "no cluster selected")
	}
	return " skiff  " + strings.Join(parts, "   ")
}

func (m *Model) clusterText(name string, more bool) string {
	s, ok := m.world.Hosts[name]
	switch {
	case !ok:
		return name
	case !more:
		return name + " " + s.Phase
	}
	ready := 0
	for _, n := range s.Nodes {
		if n.Ready == "True" {
			ready++
		}
	}
	return fmt.Sprintf("%s %s  %s  %d/%d nodes", name, s.Phase, s.Kubernetes, ready, len(s.Nodes))
}

func (m *Model) namespaceText() string {
	if len(m.world.Clusters) == 0 {
		return ""
	}
	switch len(m.world.Namespaces) {
	case 0:
		return "all namespaces"
	case 1:
		return m.world.Namespaces[0]
	}
	return fmt.Sprintf("%d namespaces", len(m.world.Namespaces))
}

// titleLine returns the second line: the way to the screen, its title and the
// age of its data.
func (m *Model) titleLine() string {
	th := m.world.Theme
	right := m.freshness()
	text := " "
	if crumbs := m.crumbs(m.crumbRoom()); crumbs != "" {
		text += th.Paint(theme.Dim, crumbs)
	}
	return widget.Fit(text+m.title(), m.width-widget.Width(right)-1) + right + " "
}

// title returns the screen's title with its counts and filter.
func (m *Model) title() string {
	th := m.world.Theme
	head, counts, _ := strings.Cut(m.top().Title(), "  ")
	text := th.Paint(theme.Title, head)
	if counts != "" {
		text += "  " + th.Paint(theme.Dim, counts)
	}
	if f, ok := m.top().(screen.Filtered); ok && f.Filter().String() != "" && (m.prompt == nil || m.prompt.kind != '/') {
		text += "  " + th.Paint(theme.Marked, "/"+f.Filter().String())
		if problem := f.Filter().Problem(); problem != "" {
			text += th.Paint(theme.Warn, " ("+problem+")")
		}
	}
	return text
}

// crumbRoom returns the space for the breadcrumbs: at most a third of the line,
// and none that the title needs.
func (m *Model) crumbRoom() int {
	room := m.width - widget.Width(m.freshness()) - 2
	return min(room/3, room-widget.Width(m.title())-1)
}

// crumbs returns the breadcrumbs, shortened at the beginning to fit in room.
func (m *Model) crumbs(room int) string {
	text := ""
	for i := len(m.stack) - 2; i >= 0; i-- {
		next := m.stack[i].Crumb() + crumbArrow + text
		if widget.Width(next) <= room {
			text = next
			continue
		}
		const cut = "…" + crumbArrow
		switch {
		case widget.Width(cut+text) <= room:
			return cut + text
		case widget.Width(cut) <= room:
			return cut
		}
		return ""
	}
	return text
}

const crumbArrow = " › "

// clickCrumb goes back to the screen whose name is at column x.
func (m *Model) clickCrumb(x int) {
	way := strings.Split(strings.TrimSuffix(m.crumbs(m.crumbRoom()), crumbArrow), crumbArrow)
	at := 1
	for i, name := range way {
		if at += widget.Width(name); name != "" && x < at && x > at-widget.Width(name)-1 {
			m.stack = m.stack[:len(m.stack)-len(way)+i]
			return
		}
		at += widget.Width(crumbArrow)
	}
}

// freshness describes whether the data of the screen are up to date or, if not,
// how old they are.
func (m *Model) freshness() string {
	th := m.world.Theme
	d, ok := m.top().(screen.Dated)
	if !ok {
		return ""
	}
	fresh := d.Freshness()
	switch fresh.State {
	case object.Loading:
		return th.Paint(theme.Busy, "loading …")
	case object.Live:
		if fresh.Problem != "" {
			return th.Paint(theme.Warn, "● live, incomplete")
		}
		return th.Paint(theme.Good, "● live")
	case object.Refused:
		return th.Paint(theme.Warn, "unavailable")
	}
	if fresh.At.IsZero() {
		return th.Paint(theme.Bad, "○ no response yet")
	}
	return th.Paint(theme.Bad, "○ no response, data is "+object.Age(fresh.At, m.world.Now)+" old")
}

// footer returns the last line: the prompt, a notice or the most important keys.
func (m *Model) footer() string {
	th := m.world.Theme
	if m.prompt != nil {
		return m.prompt.input.View(th, m.width)
	}
	if m.notice.text != "" && m.notice.until.After(m.config.Now()) {
		tone := theme.Good
		if m.notice.bad {
			tone = theme.Bad
		}
		return " " + th.Paint(tone, widget.Fit(m.notice.text, m.width-1))
	}
	if m.waiting != nil {
		return " " + th.Paint(theme.Busy, widget.Fit(m.waiting.text, m.width-1))
	}
	if d, ok := m.top().(screen.Dated); ok {
		switch fresh := d.Freshness(); {
		case fresh.State == object.Lost:
			return " " + th.Paint(theme.Warn, widget.Fit("retrying: "+fresh.Problem, m.width-1))
		case fresh.State == object.Live && fresh.Problem != "":
			return " " + th.Paint(theme.Warn, widget.Fit(fresh.Problem, m.width-1))
		}
	}
	return m.hints()
}

// hints lists the most important keys of the screen, as far as there is room. The
// key for help is always among them.
func (m *Model) hints() string {
	th := m.world.Theme
	_, filtered := m.top().(screen.Filtered)
	bindings := slices.DeleteFunc(m.world.Keys.In(m.top().Scopes()...), func(b keys.Binding) bool {
		return !b.Hint || b.Changes && m.world.ReadOnly || b.Action == keys.Filter && !filtered
	})
	isHelp := func(b keys.Binding) bool { return b.Action == keys.Help }
	room := m.width - 1
	if i := slices.IndexFunc(bindings, isHelp); i >= 0 {
		room -= hintWidth(bindings[i])
	}
	var out strings.Builder
	out.WriteString(" ")
	for _, b := range bindings {
		if !isHelp(b) {
			if room -= hintWidth(b); room < 0 {
				continue
			}
		}
		out.WriteString(th.Paint(theme.Key, keys.Label(b.Keys[0])) + " " + th.Paint(theme.Dim, short(b.Help)) + "   ")
	}
	return widget.Fit(out.String(), m.width)
}

func hintWidth(b keys.Binding) int {
	return widget.Width(keys.Label(b.Keys[0])) + widget.Width(short(b.Help)) + 4
}

// short returns a key's help up to the first comma.
func short(help string) string {
	head, _, _ := strings.Cut(help, ",")
	return head
}

// completionBox draws the completions above the last line.
func (m *Model) completionBox(lines []string) []string {
	p := m.prompt
	rows := min(len(p.all), 8, m.height-4)
	first := max(0, min(p.at-rows/2, len(p.all)-rows))
	width := 20
	for _, c := range p.all[first : first+rows] {
		width = max(width, widget.Width(c)+2)
	}
	width = min(width, m.width-4)
	var box []string
	for i, c := range p.all[first : first+rows] {
		text := widget.Fit(" "+c, width)
		if first+i == p.at {
			box = append(box, m.world.Theme.Paint(theme.Selected, text))
		} else {
			box = append(box, m.world.Theme.Paint(theme.Bar, text))
		}
	}
	return widget.Overlay(lines, box, 1, m.height-1-rows)
}
