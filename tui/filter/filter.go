// Package filter parses filters and matches rows with them. A filter is a regular
// expression, "-l" with a label selector, or "-f" with letters for a fuzzy match;
// "!" inverts it. Every text is a valid filter: an invalid regular expression is
// matched literally.
package filter

import (
	"regexp"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/labels"
)

// Filter matches rows. The zero Filter matches all rows.
type Filter struct {
	text    string
	inverse bool
	pattern *regexp.Regexp
	fuzzy   string
	labels  labels.Selector
	problem string
}

// maxLength is the maximum length in bytes.
const maxLength = 1024

// Parse parses a filter.
func Parse(text string) Filter {
	// Pasted text may not be valid UTF-8, which regexp rejects.
	text = strings.ToValidUTF8(strings.TrimSpace(text), string(unicode.ReplacementChar))
	f := Filter{text: text}
	if len(text) > maxLength {
		f.problem = "too long"
		return f
	}
	if selector, ok := strings.CutPrefix(text, "-l"); ok {
		parsed, err := labels.Parse(strings.TrimSpace(selector))
		if err != nil {
			f.problem = "invalid label selector"
			return f
		}
		f.labels = parsed
		return f
	}
	rest, inverse := strings.CutPrefix(text, "!")
	f.inverse = inverse
	if letters, ok := strings.CutPrefix(rest, "-f"); ok {
		f.fuzzy = strings.ToLower(strings.TrimSpace(letters))
		return f
	}
	if rest == "" {
		return Filter{text: text}
	}
	pattern, err := regexp.Compile("(?i)" + rest)
	if err != nil {
		pattern = regexp.MustCompile("(?i)" + regexp.QuoteMeta(rest))
		f.problem = "invalid regular expression, matched literally"
	}
	f.pattern = pattern
	return f
}

// String returns the filter as the user typed it.
func (f Filter) String() string { return f.text }

// Empty reports whether the filter matches all rows.
func (f Filter) Empty() bool { return f.pattern == nil && f.fuzzy == "" && f.labels == nil }

// Problem describes what is wrong with the filter, or returns "".
func (f Filter) Problem() string { return f.problem }

// Match reports whether a row with these cells and labels matches.
func (f Filter) Match(cells []string, set map[string]string) bool {
	switch {
	case f.labels != nil:
		return f.labels.Matches(labels.Set(set))
	case f.pattern != nil:
		return f.any(cells, f.pattern.MatchString) != f.inverse
	case f.fuzzy != "":
		return f.any(cells, f.inOrder) != f.inverse
	}
	return true
}

func (f Filter) any(cells []string, match func(string) bool) bool {
	for _, cell := range cells {
		if match(cell) {
			return true
		}
	}
	return false
}

// inOrder reports whether text contains the letters of the filter in order.
func (f Filter) inOrder(text string) bool {
	rest := []rune(f.fuzzy)
	for _, r := range text {
		if len(rest) > 0 && unicode.ToLower(r) == rest[0] {
			rest = rest[1:]
		}
	}
	return len(rest) == 0
}

// Pattern returns the regular expression whose matches are highlighted, or nil
// for filters of other kinds.
func (f Filter) Pattern() *regexp.Regexp {
	if f.inverse {
		return nil
	}
	return f.pattern
}
