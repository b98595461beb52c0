// Package document is the screen that shows a text about one object: its
// description, its YAML, or the history of its rollouts.
package document

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/kube/feed"
	"github.com/skiff-dev/skiff/kube/object"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/screen"
	"github.com/skiff-dev/skiff/tui/screen/format"
	"github.com/skiff-dev/skiff/tui/screen/kind"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Screen shows a text.
type Screen struct {
	need   feed.Text
	text   widget.Text
	raw    string
	fresh  object.Freshness
	filter filter.Filter
	graphs graphs
	height int // of the last view
}

// New returns the screen of a text.
func New(need feed.Text) *Screen {
	s := &Screen{need: need, graphs: graphs{at: 1}}
	switch need.Kind {
	case feed.YAML:
		s.text.Colour = colourYAML
	case feed.Description, feed.History:
		s.text.Colour = colourDescription
	}
	return s
}

// Crumb implements screen.Screen.
func (s *Screen) Crumb() string { return string(s.need.Kind) + " " + s.need.Ref.Name }

// Title implements screen.Screen.
func (s *Screen) Title() string {
	text := map[feed.TextKind]string{feed.Description: "", feed.YAML: "YAML of ", feed.History: "Rollout history of "}[s.need.Kind] + s.need.Ref.String()
	if s.secret() && s.need.Kind == feed.YAML {
		text += map[bool]string{true: "  values shown", false: "  values hidden"}[s.need.Reveal]
	}
	if at, all := s.text.Matches(); all > 0 {
		text += fmt.Sprintf("  match %d/%d", at, all)
	} else if !s.filter.Empty() {
		text += "  no matches"
	}
	return text + fmt.Sprintf("  %d%%", s.text.Percent())
}

func (s *Screen) secret() bool { return s.need.Ref.Resource.ID() == object.Secrets.ID() }

// Scopes implements screen.Screen.
func (s *Screen) Scopes() []keys.Scope {
	switch {
	case s.secret() && s.need.Kind == feed.YAML:
		return []keys.Scope{keys.Secrets, keys.Document, keys.Text}
	case s.need.Kind == feed.History:
		return []keys.Scope{keys.History, keys.Document, keys.Text}
	}
	if s.measured() {
		return []keys.Scope{keys.Measured, keys.Document, keys.Text}
	}
	return []keys.Scope{keys.Document, keys.Text}
}

// measured reports whether the screen can show graphs.
func (s *Screen) measured() bool {
	return s.need.Kind == feed.Description && slices.Contains(measured, s.need.Ref.Resource.ID())
}

// Needs implements screen.Screen.
func (s *Screen) Needs() []feed.Need {
	if s.measured() && !s.graphs.hidden {
		return []feed.Need{s.need, s.graphs.need(s.need.Ref)}
	}
	return []feed.Need{s.need}
}

// Freshness implements screen.Dated.
func (s *Screen) Freshness() object.Freshness { return s.fresh }

// Take implements screen.Screen.
func (s *Screen) Take(_ *screen.World, delivery any) {
	if d, ok := delivery.(feed.GraphData); ok && d.Range == ranges[s.graphs.at] {
		s.graphs.data = d
	}
	if d, ok := delivery.(feed.Document); ok {
		s.fresh = d.Freshness
		if d.Text != s.raw {
			s.raw = d.Text
			s.text.Set(d.Text)
		}
	}
}

// SetFilter implements screen.Filtered. It searches.
func (s *Screen) SetFilter(_ *screen.World, f filter.Filter) {
	s.filter = f
	s.text.Search(f.Pattern())
}

// Filter implements screen.Filtered.
func (s *Screen) Filter() filter.Filter { return s.filter }

// Wheel implements screen.Pointed.
func (s *Screen) Wheel(n int) { s.text.Move(3 * n) }

// Click implements screen.Pointed.
func (s *Screen) Click(int, int) (bool, []screen.Request) { return false, nil }

// Act implements screen.Screen.
func (s *Screen) Act(_ *screen.World, a keys.Action) []screen.Request {
	if s.text.Act(a) || s.graphs.act(a, s.graphs.visible(s.height)) {
		return nil
	}
	switch a {
	case keys.Reveal:
		s.need.Reveal = !s.need.Reveal
		s.raw = ""
		s.text.Set("")
	case keys.CopyText:
		return []screen.Request{screen.CopyText{What: "text", Text: s.raw}}
	case keys.Describe:
		return []screen.Request{screen.Open{To: screen.Text(s.need.Ref, feed.Description), Replace: true}}
	case keys.YAML:
		return []screen.Request{screen.Open{To: screen.Text(s.need.Ref, feed.YAML), Replace: true}}
	case keys.Edit:
		return kind.Do(s.need.Ref, feed.VerbEdit, nil)
	case keys.Undo:
		return s.rollback()
	}
	return nil
}

// rollback asks for a revision of the history to roll back to.
func (s *Screen) rollback() []screen.Request {
	last := ""
	for _, l := range s.text.Lines() {
		if fields := strings.Fields(l); len(fields) > 0 {
			if _, err := strconv.Atoi(fields[0]); err == nil {
				last = fields[0]
			}
		}
	}
	form := widget.NewForm("Roll back "+s.need.Ref.String(), []widget.Field{
		{Name: "revision", Label: "Revision", Hint: "0 is the previous one; the latest is " + last, Value: "0"},
	})
	ref := s.need.Ref
	return []screen.Request{screen.Fill{Form: form, Then: func(values map[string]string) []screen.Request {
		return []screen.Request{screen.Ask{
			Title: "Roll back " + ref.String() + " to " + revisionText(values["revision"]) + "?", Lines: []string{"Its pods are replaced."},
			Then: kind.Do(ref, feed.VerbUndo, values),
		}}
	}}}
}

// View implements screen.Screen.
func (s *Screen) View(w *screen.World, width, height int) []string {
	if s.raw == "" {
		return []string{"", format.Note(w.Theme, cmp.Or(s.fresh.Problem, format.Loading))}
	}
	s.height = height
	var above []string
	if s.measured() && s.graphs.visible(height) {
		above = s.graphs.view(w.Theme, width, height)
	}
	lines := s.text.View(w.Theme, width-2, max(1, height-len(above)))
	for i, l := range lines {
		lines[i] = " " + l
	}
	return append(above, lines...)
}

// revisionText names a revision of a rollout; 0 means the one before the latest.
func revisionText(revision string) string {
	if revision == "0" {
		return "the previous revision"
	}
	return "revision " + revision
}
