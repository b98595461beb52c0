package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/skiff-dev/skiff/vm/cluster"
)

// object is a mapping whose keys are upstream's.
func object(s Setting, at func(*cluster.Spec) *map[string]any) Setting {
	s.Type = Object
	s.get = func(*cluster.Spec) any { return map[string]any{} }
	s.put = func(spec *cluster.Spec, value any) error {
		fields, err := mapping(value)
		*at(spec) = fields
		return err
	}
	return s
}

// switches is a mapping of names to true or false.
func switches(s Setting, at func(*cluster.Spec) *map[string]bool) Setting {
	s.Type = Switches
	return named(s, at, func(name string, value any) (bool, error) {
		text, err := scalar(name, value)
		if err == nil && text != "true" && text != "false" {
			err = fmt.Errorf("%s: %q is not true or false", name, text)
		}
		return text == "true", err
	})
}

// texts is a mapping of names to single values.
func texts(s Setting, at func(*cluster.Spec) *map[string]string) Setting {
	s.Type = Texts
	return named(s, at, scalar)
}

// named is a mapping of names to what parse returns for their values.
func named[T any](s Setting, at func(*cluster.Spec) *map[string]T, parse func(name string, value any) (T, error)) Setting {
	s.get = func(*cluster.Spec) any { return map[string]any{} }
	s.put = func(spec *cluster.Spec, value any) error {
		all, err := parsed(value, parse)
		*at(spec) = all
		return err
	}
	return s
}

// parsed returns what parse returns for the values of a mapping; nil if it is empty.
func parsed[T any](value any, parse func(name string, value any) (T, error)) (map[string]T, error) {
	fields, err := mapping(value)
	if err != nil || fields == nil {
		return nil, err
	}
	all := map[string]T{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if all[name], err = parse(name, fields[name]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// document is the path of a file with one object in YAML or JSON, whose content becomes
// the setting.
func document(s Setting, at func(*cluster.Spec) *map[string]any) Setting {
	s.Type, s.path = Document, true
	s.get = func(*cluster.Spec) any { return "" }
	s.put = func(spec *cluster.Spec, value any) error {
		path, ok := value.(string)
		if !ok {
			return errors.New("it must be the path of a file")
		}
		*at(spec) = nil
		if path == "" {
			return nil
		}
		content, err := readDocument(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		*at(spec) = content
		return nil
	}
	return s
}

// mapping returns a value that must be a mapping; nil if it is empty.
func mapping(value any) (map[string]any, error) {
	fields, ok := value.(map[string]any)
	switch {
	case value == nil || ok && len(fields) == 0:
		return nil, nil
	case !ok:
		return nil, errors.New("it must be a mapping")
	}
	return fields, nil
}

// scalar returns the text of a single value.
func scalar(name string, value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case bool:
		return strconv.FormatBool(value), nil
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64), nil
	}
	return "", fmt.Errorf("%s must be a single value", name)
}

// decode returns a YAML value as package json decodes it.
func decode(node *yaml.Node) (any, error) {
	var value any
	if err := node.Decode(&value); err != nil {
		return nil, err
	}
	content, err := json.Marshal(value)
	if err != nil {
		return nil, errors.New("keys must be strings")
	}
	err = json.Unmarshal(content, &value)
	return value, err
}

// readDocument reads a file with one object in YAML or JSON.
func readDocument(path string) (map[string]any, error) {
	content, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var first, more yaml.Node
	err = decoder.Decode(&first)
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("invalid YAML: %s", plain(err))
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has more than one YAML document")
	}
	value, err := decode(&first)
	if err != nil {
		return nil, fmt.Errorf("invalid YAML: %s", plain(err))
	}
	fields, err := mapping(value)
	if err == nil && fields == nil {
		err = errors.New("it is empty")
	}
	return fields, err
}

// readBounded reads a file of at most MaxFile bytes. The error does not name it.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, errors.New(reason(err))
	}
	if len(content) > MaxFile {
		return nil, fmt.Errorf("larger than %d KiB", MaxFile>>10)
	}
	return content, nil
}
