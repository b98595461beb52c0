// Package filter reads what people type after "/" and matches rows with it: a
// regular expression by default, "!" for all but those, "-l" for labels, "-f"
// for letters in that order. Every text is a filter; one that is no regular
// expression is taken literally.
package filter

import (
	"regexp"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/labels"
)

// Filter matches rows. The zero Filter matches all.
type Filter struct {
	text    string
	inverse bool
	pattern *regexp.Regexp
	fuzzy   string
	labels  labels.Selector
	problem string
}

// maxLength bounds a filter in bytes.
const maxLength = 1024

// Parse reads a filter.
func Parse(text string) Filter {
	// What is pasted need not be UTF-8, of which no regular expression is made.
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

// String is the filter as it was typed.
func (f Filter) String() string { return f.text }

// Empty says whether all rows match.
func (f Filter) Empty() bool { return f.pattern == nil && f.fuzzy == "" && f.labels == nil }

// Problem says what is wrong with the filter, empty if nothing is.
func (f Filter) Problem() string { return f.problem }

// Match says whether a row with these cells and labels is to be shown.
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

// inOrder says whether the letters of the filter stand in text in that order.
func (f Filter) inOrder(text string) bool {
	rest := []rune(f.fuzzy)
	for _, r := range text {
		if len(rest) > 0 && unicode.ToLower(r) == rest[0] {
			rest = rest[1:]
		}
	}
	return len(rest) == 0
}

// Pattern is the regular expression, nil for other filters: viewers mark what
// it matches.
func (f Filter) Pattern() *regexp.Regexp {
	if f.inverse {
		return nil
	}
	return f.pattern
}
