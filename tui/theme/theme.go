// Package theme holds the colours of the dashboard. A style is a fixed string of
// terminal attributes, so painting a cell is cheap. Screens also write out every
// state that they show by colour, so the theme "none" loses no information.
package theme

import (
	"fmt"
	"maps"
	"slices"
)

// Tone is the meaning of a piece of text.
type Tone int

// The tones.
const (
	Plain    Tone = iota
	Dim           // less important
	Title         // headings
	Accent        // names of things, keys
	Good          // healthy
	Busy          // in progress
	Warn          // degraded
	Bad           // failing
	Selected      // under the cursor
	Marked        // marked for an action
	Key           // a key to press
	Header        // column titles
	Frame         // lines and borders
	Match         // search results
	String        // values in documents
	Number
	Bar // header and footer lines
	tones
)

// Theme paints text.
type Theme struct {
	Name string
	on   [tones]string
}

const off = "\x1b[m"

// Paint wraps text in the attributes of a tone.
func (t *Theme) Paint(tone Tone, text string) string {
	if on := t.on[tone]; on != "" && text != "" {
		return on + text + off
	}
	return text
}

// On returns the attributes of a tone, for text that is painted in parts.
func (t *Theme) On(tone Tone) string { return t.on[tone] }

// Off returns the sequence that resets all attributes.
func (t *Theme) Off() string { return off }

type rgb uint32

func (c rgb) fg() string {
	return fmt.Sprintf("38;2;%d;%d;%d", byte(c>>16), byte(c>>8), byte(c))
}

func (c rgb) bg() string {
	return fmt.Sprintf("48;2;%d;%d;%d", byte(c>>16), byte(c>>8), byte(c))
}

type palette struct {
	dim, title, accent, good, busy, warn, bad rgb
	selectedText, selected, marked            rgb
	header, frame, match, text, number        rgb
	barText, bar                              rgb
}

func (p palette) theme(name string) *Theme {
	sgr := func(codes string) string { return "\x1b[" + codes + "m" }
	t := &Theme{Name: name}
	t.on = [tones]string{
		Dim: sgr(p.dim.fg()), Title: sgr("1;" + p.title.fg()), Accent: sgr(p.accent.fg()),
		Good: sgr(p.good.fg()), Busy: sgr(p.busy.fg()), Warn: sgr(p.warn.fg()), Bad: sgr(p.bad.fg()),
		Selected: sgr("1;" + p.selectedText.fg() + ";" + p.selected.bg()), Marked: sgr("1;" + p.marked.fg()),
		Key: sgr("1;" + p.accent.fg()), Header: sgr("1;" + p.header.fg()), Frame: sgr(p.frame.fg()),
		Match: sgr("1;" + p.selectedText.fg() + ";" + p.match.bg()), String: sgr(p.text.fg()), Number: sgr(p.number.fg()),
		Bar: sgr(p.barText.fg() + ";" + p.bar.bg()),
	}
	return t
}

// themes by name. They keep the terminal's own background.
var themes = map[string]*Theme{
	"harbor": palette{
		dim: 0x8492a6, title: 0xe6edf3, accent: 0x4cc2ff, good: 0x56d39b, busy: 0x7aa2f7, warn: 0xf0b45b, bad: 0xff6b6b,
		selectedText: 0xffffff, selected: 0x1f4b6e, marked: 0xf7d774,
		header: 0x9fb3c8, frame: 0x3d5166, match: 0x8a5a00, text: 0xa5d6a7, number: 0xf5a97f,
		barText: 0xd5dee8, bar: 0x1b2a38,
	}.theme("harbor"),
	"dusk": palette{
		dim: 0x9a93b0, title: 0xf2ecff, accent: 0xc4a7e7, good: 0x9ccfa8, busy: 0x8fb8f0, warn: 0xf6c177, bad: 0xeb6f92,
		selectedText: 0xffffff, selected: 0x524370, marked: 0xf6c177,
		header: 0xb8aed0, frame: 0x514a6b, match: 0x7a5b16, text: 0x9ccfd8, number: 0xf6c177,
		barText: 0xe0def4, bar: 0x2a2540,
	}.theme("dusk"),
	"paper": palette{
		dim: 0x6b7280, title: 0x111827, accent: 0x0b63b6, good: 0x11703a, busy: 0x2457c5, warn: 0x8f5200, bad: 0xb42318,
		selectedText: 0x0b1f33, selected: 0xbfdcf7, marked: 0x7a3e9d,
		header: 0x374151, frame: 0xa7b0bd, match: 0xffe08a, text: 0x0f6e4f, number: 0x9a3412,
		barText: 0x1f2937, bar: 0xe3e8ee,
	}.theme("paper"),
	"none": {Name: "none", on: [tones]string{
		Dim: "\x1b[2m", Title: "\x1b[1m", Bad: "\x1b[1m", Selected: "\x1b[7m", Marked: "\x1b[1;4m",
		Key: "\x1b[1m", Header: "\x1b[1m", Frame: "\x1b[2m", Match: "\x1b[7m", Bar: "\x1b[7m",
	}},
}

// Default is the theme for terminals with a dark background.
const Default = "harbor"

// Named returns the theme with the given name, or nil.
func Named(name string) *Theme { return themes[name] }

// Names returns the names of all themes, sorted.
func Names() []string { return slices.Sorted(maps.Keys(themes)) }
