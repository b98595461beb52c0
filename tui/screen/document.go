package screen

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/tui/feed"
	"github.com/skiff-dev/skiff/tui/filter"
	"github.com/skiff-dev/skiff/tui/keys"
	"github.com/skiff-dev/skiff/tui/object"
	"github.com/skiff-dev/skiff/tui/theme"
	"github.com/skiff-dev/skiff/tui/widget"
)

// Document shows a text about one object: its description, its YAML, or the
// history of its rollouts.
type Document struct {
	need   feed.Text
	text   widget.Text
	raw    string
	fresh  object.Freshness
	filter filter.Filter
}

// NewDocument returns the screen of a text.
func NewDocument(ref object.Ref, kind feed.TextKind) *Document {
	d := &Document{need: feed.Text{Ref: ref, Kind: kind}}
	switch kind {
	case feed.YAML:
		d.text.Colour = colourYAML
	case feed.Description, feed.History:
		d.text.Colour = colourDescription
	}
	return d
}

// Crumb is Screen's.
func (d *Document) Crumb() string { return string(d.need.Kind) + " " + d.need.Ref.Name }

// Title is Screen's.
func (d *Document) Title() string {
	text := map[feed.TextKind]string{feed.Description: "", feed.YAML: "YAML of ", feed.History: "Rollout history of "}[d.need.Kind] + d.need.Ref.String()
	if d.secret() && d.need.Kind == feed.YAML {
		text += map[bool]string{true: "  values shown", false: "  values hidden"}[d.need.Reveal]
	}
	if at, all := d.text.Matches(); all > 0 {
		text += fmt.Sprintf("  match %d/%d", at, all)
	} else if !d.filter.Empty() {
		text += "  no matches"
	}
	return text + fmt.Sprintf("  %d%%", d.text.Percent())
}

func (d *Document) secret() bool { return d.need.Ref.Resource.ID() == "secrets" }

// Scopes is Screen's.
func (d *Document) Scopes() []keys.Scope {
	switch {
	case d.secret() && d.need.Kind == feed.YAML:
		return []keys.Scope{keys.Secrets, keys.Document, keys.Text}
	case d.need.Kind == feed.History:
		return []keys.Scope{keys.History, keys.Document, keys.Text}
	}
	return []keys.Scope{keys.Document, keys.Text}
}

// Needs is Screen's.
func (d *Document) Needs() []feed.Need { return []feed.Need{d.need} }

// Freshness is Dated's.
func (d *Document) Freshness() object.Freshness { return d.fresh }

// Take is Screen's.
func (d *Document) Take(_ *World, delivery any) {
	if doc, ok := delivery.(feed.Document); ok {
		d.fresh = doc.Freshness
		if doc.Text != d.raw {
			d.raw = doc.Text
			d.text.Set(doc.Text)
		}
	}
}

// SetFilter is Filtered's: it searches.
func (d *Document) SetFilter(_ *World, f filter.Filter) {
	d.filter = f
	d.text.Search(f.Pattern())
}

// Filter is Filtered's.
func (d *Document) Filter() filter.Filter { return d.filter }

// Wheel is Pointed's.
func (d *Document) Wheel(n int) { d.text.Move(3 * n) }

// Click is Pointed's.
func (d *Document) Click(int, int) (bool, []Request) { return false, nil }

// Act is Screen's.
func (d *Document) Act(_ *World, a keys.Action) []Request {
	if scrollText(&d.text, a) {
		return nil
	}
	switch a {
	case keys.Reveal:
		d.need.Reveal = !d.need.Reveal
		d.raw = ""
		d.text.Set("")
	case keys.CopyText:
		return []Request{CopyText{What: "text", Text: d.raw}}
	case keys.Describe:
		return []Request{Push{Screen: NewDocument(d.need.Ref, feed.Description), Replace: true}}
	case keys.YAML:
		return []Request{Push{Screen: NewDocument(d.need.Ref, feed.YAML), Replace: true}}
	case keys.Edit:
		return []Request{do(d.need.Ref, feed.VerbEdit, nil)}
	case keys.Undo:
		return d.undo()
	}
	return nil
}

// undo goes back to a revision of the history.
func (d *Document) undo() []Request {
	last := ""
	for _, l := range d.text.Lines() {
		if fields := strings.Fields(l); len(fields) > 0 {
			if _, err := strconv.Atoi(fields[0]); err == nil {
				last = fields[0]
			}
		}
	}
	form := widget.NewForm("Roll back "+d.need.Ref.String(), []widget.Field{
		{Name: "revision", Label: "Revision", Hint: "0 is the previous one; the latest is " + last, Value: "0"},
	})
	ref := d.need.Ref
	return []Request{Fill{Form: form, Then: func(values map[string]string) []Request {
		return []Request{Ask{
			Title: "Roll back " + ref.String() + " to " + revisionText(values["revision"]) + "?", Lines: []string{"Its pods are replaced."},
			Then: []Request{do(ref, feed.VerbUndo, values)},
		}}
	}}}
}

// View is Screen's.
func (d *Document) View(w *World, width, height int) []string {
	if d.raw == "" {
		text := loading
		if d.fresh.Problem != "" {
			text = d.fresh.Problem
		}
		return []string{"", "  " + w.Theme.Paint(theme.Dim, text)}
	}
	lines := d.text.View(w.Theme, width-2, height)
	for i, l := range lines {
		lines[i] = " " + l
	}
	return lines
}

func scrollText(t *widget.Text, a keys.Action) bool {
	switch a {
	case keys.Up:
		t.Move(-1)
	case keys.Down:
		t.Move(1)
	case keys.PageUp:
		t.Move(-t.Page())
	case keys.PageDown:
		t.Move(t.Page())
	case keys.Top:
		t.Move(-1 << 30)
	case keys.Bottom:
		t.Move(1 << 30)
	case keys.Left:
		t.Shift(-20)
	case keys.Right:
		t.Shift(20)
	case keys.Wrap:
		t.SetWrap(!t.Wrap)
	case keys.Next:
		t.Next(1)
	case keys.Prev:
		t.Next(-1)
	default:
		return false
	}
	return true
}

// revisionText names a revision of a rollout; 0 means the one before the latest.
func revisionText(revision string) string {
	if revision == "0" {
		return "the previous revision"
	}
	return "revision " + revision
}
