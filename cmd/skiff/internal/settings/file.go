package settings

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/skiff-dev/skiff/internal/nearest"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// MaxFile is the maximum size of a configuration file, and of a file that it names, in
// bytes.
const MaxFile = 64 << 10

// File is a configuration file with known keys and values of the right type. The
// zero File sets nothing.
type File struct {
	name   string
	values map[string]entry
}

type entry struct {
	value any // a string, a List's []string, or what put takes
	line  int
}

// ReadFile reads a configuration file, or stdin if name is "-". It returns the name for
// error messages as well. The error is a *daemonapi.Failure.
func ReadFile(name string, stdin io.Reader) (content []byte, place string, err error) {
	in := stdin
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, name, &daemonapi.Failure{
				Cause: fmt.Sprintf("read %s: %s", name, reason(err)), Invalid: true,
			}
		}
		defer f.Close()
		in = f
	}
	content, err = io.ReadAll(io.LimitReader(in, MaxFile+1))
	switch {
	case err != nil:
		err = &daemonapi.Failure{Cause: fmt.Sprintf("read %s: %s", name, reason(err)), Invalid: true}
	case len(content) > MaxFile:
		err = tooLarge(name)
	}
	return content, name, err
}

func tooLarge(name string) error {
	return &daemonapi.Failure{Cause: fmt.Sprintf("%s: larger than %d KiB", name, MaxFile>>10), Invalid: true}
}

// Parse reads the content of a configuration file. Errors are of type
// *daemonapi.Failure and contain name and the line.
func Parse(name string, content []byte) (File, error) {
	if len(content) > MaxFile {
		return File{}, tooLarge(name)
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(content)))
	var doc, more yaml.Node
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return File{name: name}, nil
	}
	if err != nil {
		return File{}, syntaxError(name, err)
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return File{}, fault(name, more.Line, "", "more than one YAML document")
	}
	file := File{name: name, values: map[string]entry{}}
	return file, file.read(doc.Content[0], "")
}

// read reads the keys of a mapping. within is the key it belongs to, or "".
func (f File) read(node *yaml.Node, within string) error {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" && within == "" {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		what := "skiff.yaml"
		if within != "" {
			what = within
		}
		return fault(f.name, node.Line, `such as "workers: 2"`, "%s must be a mapping", what)
	}
	seen := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if seen[key.Value] {
			return fault(f.name, key.Line, "", "duplicate key %q", key.Value)
		}
		seen[key.Value] = true
		if err := f.readKey(key, value, within); err != nil {
			return err
		}
	}
	return nil
}

func (f File) readKey(key, value *yaml.Node, within string) error {
	known := keys(within)
	if key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value) {
		return fault(f.name, key.Line, keyHint(key.Value, known), "unknown key %q", key.Value)
	}
	path := join(within, key.Value)
	if len(keys(path)) > 0 {
		short, ok := shortOf(path)
		if !ok || value.Kind != yaml.ScalarNode {
			return f.read(value, path)
		}
		path = short
	}
	all := Table()
	setting := all[slices.IndexFunc(all, func(s Setting) bool { return s.Key == path })]
	if setting.put != nil && setting.Type != Document {
		decoded, err := decode(value)
		if err != nil {
			return fault(f.name, value.Line, "", "%s: %s", path, plain(err))
		}
		f.values[path] = entry{decoded, value.Line}
		return nil
	}
	if setting.Type == Count && value.Kind == yaml.MappingNode {
		decoded, err := decode(value)
		if err != nil {
			return fault(f.name, value.Line, "", "%s: %s", path, plain(err))
		}
		text, err := countText(decoded)
		if err != nil {
			return fault(f.name, value.Line, "", "%s: %s", path, err)
		}
		f.values[path] = entry{text, value.Line}
		return nil
	}
	if setting.Type != List {
		if err := f.check(setting, value); err != nil {
			return err
		}
		f.values[path] = entry{value.Value, value.Line}
		return nil
	}
	if value.Kind != yaml.SequenceNode {
		return fault(f.name, value.Line, fmt.Sprintf("such as \"%s: [VALUE, VALUE]\"", key.Value), "%s must be a list", path)
	}
	items := []string{}
	for _, item := range value.Content {
		if err := f.check(setting, item); err != nil {
			return err
		}
		items = append(items, item.Value)
	}
	f.values[path] = entry{items, value.Line}
	return nil
}

// keyHint returns which of the known keys to use instead of an unknown one.
func keyHint(unknown string, known []string) string {
	if meant := nearest.Of(unknown, known); meant != "" {
		return fmt.Sprintf("did you mean %q?", meant)
	}
	return "valid keys are " + strings.Join(known, ", ")
}

// check returns an error if the node is not a value of the setting, or an item of
// its list.
func (f File) check(setting Setting, value *yaml.Node) error {
	switch {
	case value.Kind != yaml.ScalarNode && setting.Type == List:
		return fault(f.name, value.Line, "", "items of %s must be single values", setting.Key)
	case value.Kind != yaml.ScalarNode:
		return fault(f.name, value.Line, "", "%s must be a single value", setting.Key)
	case setting.Type == Integer && value.Tag != "!!int":
		return fault(f.name, value.Line, "", "%s: %q is not a whole number", setting.Key, value.Value)
	case setting.Type == Boolean && value.Tag != "!!bool":
		return fault(f.name, value.Line, "", "%s: %q is not true or false", setting.Key, value.Value)
	case setting.Type != Boolean && value.Tag != "!!str" && value.Tag != "!!int" && value.Tag != "!!float":
		return fault(f.name, value.Line, "", "%s: %q is not a string", setting.Key, value.Value)
	case setting.Type == List && (value.Value == "" || strings.Contains(value.Value, "\n")):
		return fault(f.name, value.Line, "", "%s: %q must be one line of text", setting.Key, value.Value)
	}
	return nil
}

// shortOf returns the setting that a single value in place of a mapping stands for.
func shortOf(mapping string) (key string, ok bool) {
	for _, s := range Table() {
		if parent, _, _ := strings.Cut(s.Key, "."); s.Short && parent == mapping {
			return s.Key, true
		}
	}
	return "", false
}

// keys returns the valid keys below within, in the order of Table.
func keys(within string) []string {
	var names []string
	for _, field := range Table() {
		rest := field.Key
		if within != "" {
			var below bool
			if rest, below = strings.CutPrefix(field.Key, within+"."); !below {
				continue
			}
		}
		name, _, _ := strings.Cut(rest, ".")
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func join(within, key string) string {
	if within == "" {
		return key
	}
	return within + "." + key
}

// nest returns {"a": {"b": value}} for the key "a.b".
func nest(key string, value any) map[string]any {
	first, rest, deeper := strings.Cut(key, ".")
	if !deeper {
		return map[string]any{first: value}
	}
	return map[string]any{first: nest(rest, value)}
}

func fault(name string, line int, hint, format string, args ...any) error {
	return &daemonapi.Failure{
		Cause:   fmt.Sprintf("%s:%d: %s", name, line, fmt.Sprintf(format, args...)),
		Hint:    hint,
		Invalid: true,
	}
}

// syntaxError turns "yaml: line 3: did not find …" into one line that starts with
// the place.
func syntaxError(name string, err error) error {
	message := plain(err)
	place := name
	if m := regexp.MustCompile(`^line (\d+): (.*)$`).FindStringSubmatch(message); m != nil {
		place, message = name+":"+m[1], m[2]
	}
	return &daemonapi.Failure{Cause: fmt.Sprintf("%s: invalid YAML: %s", place, message), Invalid: true}
}

// plain returns an error of package yaml as one line without the package's name.
func plain(err error) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " ")
}

// reason returns the error of a file operation without the path.
func reason(err error) string {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}
