package query

import (
	"strconv"
	"strings"

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
