package query

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/skiff-dev/skiff/vm/records/logs/entry"
)

// Is returns the condition that a field has a value, or begins with it if it ends in
// "*".
func Is(field, value string) string {
	if prefix, ok := strings.CutSuffix(value, "*"); ok {
		return strconv.Quote(field) + ":=" + strconv.Quote(prefix) + "*"
	}
	return strconv.Quote(field) + ":=" + strconv.Quote(value)
}

// Selector returns the condition that the labels of a pod match a selector, as kubectl
// understands it.
func Selector(text string) (string, error) {
	selector, err := labels.Parse(text)
	if err != nil {
		return "", err
	}
	requirements, _ := selector.Requirements()
	var all []string
	for _, r := range requirements {
		field := entry.LabelPrefix + r.Key()
		values := r.Values().List()
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = strconv.Quote(v)
		}
		in := strconv.Quote(field) + ":in(" + strings.Join(quoted, ",") + ")"
		switch r.Operator() {
		case selection.In, selection.Equals, selection.DoubleEquals:
			all = append(all, in)
		case selection.NotIn, selection.NotEquals:
			all = append(all, "-"+in)
		case selection.Exists:
			all = append(all, strconv.Quote(field)+":*")
		case selection.DoesNotExist:
			all = append(all, "-"+strconv.Quote(field)+":*")
		case selection.GreaterThan:
			all = append(all, strconv.Quote(field)+":>"+values[0])
		case selection.LessThan:
			all = append(all, strconv.Quote(field)+":<"+values[0])
		}
	}
	return strings.Join(all, " "), nil
}

// Words returns the condition that an entry contains all words of a text, and none of those
// that follow a "!", as they are written, in lower case, capitalized, or in capitals. It is
// empty if there are no words. A regular expression that ignores case would take ten times as
// long (docs/decisions/0012).
func Words(text string) string {
	var all []string
	for _, word := range strings.Fields(text) {
		not := ""
		if rest, ok := strings.CutPrefix(word, "!"); ok && rest != "" {
			not, word = "!", rest
		}
		var spellings []string
		for _, spelling := range []string{word, strings.ToLower(word), capitalized(word), strings.ToUpper(word)} {
			condition := "_msg:*" + strconv.Quote(spelling) + "*"
			if !slices.Contains(spellings, condition) {
				spellings = append(spellings, condition)
			}
		}
		all = append(all, not+"("+strings.Join(spellings, " or ")+")")
	}
	return strings.Join(all, " ")
}

func capitalized(word string) string {
	_, size := utf8.DecodeRuneInString(word)
	return strings.ToUpper(word[:size]) + strings.ToLower(word[size:])
}
