package entry

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// Bounds of the fields that are taken from an entry.
const (
	maxFields = 64
	maxDepth  = 4
	maxName   = 96
	maxValue  = 4 << 10
)

// Field is a named value.
type Field struct{ Name, Value string }

// reserved are the names that fields of an entry must not have: those of the store,
// and the labels.
var reserved = map[string]bool{
	"cluster": true, "node": true, "source": true, "namespace": true, "pod": true, "pod_uid": true,
	"container": true, "attempt": true, "program": true, "stream": true, "cut": true, "reported_time": true,
}

// Parser takes fields from JSON. Its zero value is ready to use, by one goroutine at a
// time.
type Parser struct{ json fastjson.Parser }

// Fields returns the fields of a text that is a JSON object, by their path:
// {"http": {"status": 200}} has "http.status". It returns nil for any other text. A
// name that means something else gets the prefix "json.". What exceeds the bounds is
// left out, or cut; the text itself still has it.
func (p *Parser) Fields(text string) []Field {
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return nil
	}
	value, err := p.json.Parse(text)
	if err != nil {
		return nil
	}
	var fields []Field
	flatten(value, "", maxDepth, &fields)
	return fields
}

// flatten appends the fields of an object. Anything deeper than depth stays JSON.
func flatten(value *fastjson.Value, prefix string, depth int, fields *[]Field) {
	object, err := value.Object()
	if err != nil {
		return
	}
	object.Visit(func(key []byte, value *fastjson.Value) {
		name := prefix + valid(key)
		if len(*fields) >= maxFields || len(name) > maxName {
			return
		}
		switch value.Type() {
		case fastjson.TypeNull:
			return
		case fastjson.TypeObject:
			if depth > 1 {
				flatten(value, name+".", depth-1, fields)
				return
			}
		}
		text, name := fieldValue(value), fieldName(name)
		if text != "" && !slices.ContainsFunc(*fields, func(f Field) bool { return f.Name == name }) {
			*fields = append(*fields, Field{name, text})
		}
	})
}

// fieldName returns the name under which a field is stored.
func fieldName(name string) string {
	if name == "" || reserved[name] || strings.HasPrefix(name, "_") || strings.HasPrefix(name, LabelPrefix) {
		return "json." + name
	}
	return name
}

func fieldValue(value *fastjson.Value) string {
	var text string
	if value.Type() == fastjson.TypeString {
		text = valid(value.GetStringBytes())
	} else {
		text = valid(value.MarshalTo(nil))
	}
	return cut(text, maxValue)
}

// cut returns at most n bytes of text, and no half character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
