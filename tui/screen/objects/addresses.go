package objects

import (
	"slices"

	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/address"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/theme"
)

// addressesOf returns the addresses of an object on this host.
func (s *Screen) addressesOf(r *object.Row) []address.Address {
	return s.addresses[r.Cluster].Of(s.resource.Name, r.Namespace, r.Name)
}

// addressColumns returns the column of addresses, unless it would be empty. Services
// have numbers in it, and other objects URLs.
func (s *Screen) addressColumns() []column {
	c := column{object.Column{Name: "On this host"}, fromHost}
	if s.resource.ID() != object.Services.ID() {
		c = column{object.Column{Name: "URL"}, fromURL}
	}
	shown := slices.ContainsFunc(s.rows, func(r *object.Row) bool {
		all := s.addressesOf(r)
		return c.from == fromHost && address.Hosts(all) != "" || c.from == fromURL && address.URLs(all) != ""
	})
	if !shown {
		return nil
	}
	return []column{c}
}

// address returns a cell of the column of addresses.
func (src source) address(r *object.Row, from int) string {
	text := address.Hosts(src.s.addressesOf(r))
	if from == fromURL {
		text = address.URLs(src.s.addressesOf(r))
	}
	if text == "" {
		return "-"
	}
	return text
}

// leastRoom is how many lines of the table must remain beside the details.
const leastRoom = 6

// addressDetails returns the addresses of the object under the cursor, for below the
// table; nothing if they do not fit.
func (s *Screen) addressDetails(w *screen.World, width, height int) []string {
	row := s.table.Row()
	if row < 0 || row >= len(s.rows) {
		return nil
	}
	all := s.addressesOf(s.rows[row])
	facts := []format.Fact{
		{Name: "on this host", Value: address.Hosts(all), Tone: theme.Accent}, {Name: "URL", Value: address.URLs(all), Tone: theme.Accent},
		{Name: "message", Value: address.Problems(all), Tone: theme.Warn},
	}
	facts = slices.DeleteFunc(facts, func(f format.Fact) bool { return f.Value == "" })
	if len(facts) == 0 {
		return nil
	}
	var lines []string
	for _, l := range format.Facts(w.Theme, facts, width-2) {
		lines = append(lines, "  "+l)
	}
	panel := format.Panel(w.Theme, s.ref(row).String(), width, lines...)
	if height-len(panel) < leastRoom {
		return nil
	}
	return panel
}
