package kubeconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// errStyle means that the file is valid, but written in a way that cannot be edited
// in place.
var errStyle = errors.New("the file is written in an unusual style")

// source is the text of a kubeconfig with the positions of its YAML nodes. Edits
// splice text into it, so that everything else keeps its bytes.
type source struct {
	content []byte
	starts  []int      // offsets of the lines
	root    *yaml.Node // nil if there are no keys
}

func parse(content []byte) (*source, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, err
	}
	s := &source{content: content, starts: []int{0}}
	for i, b := range content {
		if b == '\n' {
			s.starts = append(s.starts, i+1)
		}
	}
	if len(doc.Content) > 0 && doc.Content[0].Tag != "!!null" {
		s.root = doc.Content[0]
		if s.root.Kind != yaml.MappingNode {
			return nil, errors.New("not a YAML mapping")
		}
	}
	return s, nil
}

// splice replaces the bytes from start to end.
func (s *source) splice(start, end int, text string) []byte {
	return append(append(append([]byte{}, s.content[:start]...), text...), s.content[end:]...)
}

// newline returns the line ending that the file uses.
func (s *source) newline() string {
	if i := bytes.IndexByte(s.content, '\n'); i > 0 && s.content[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// key returns the key and value of a key of the root, or nil.
func (s *source) key(name string) (key, value *yaml.Node) {
	if s.root == nil {
		return nil, nil
	}
	for i := 0; i+1 < len(s.root.Content); i += 2 {
		if s.root.Content[i].Value == name {
			return s.root.Content[i], s.root.Content[i+1]
		}
	}
	return nil, nil
}

func (s *source) flow() bool { return s.root != nil && s.root.Style&yaml.FlowStyle != 0 }

// item returns an entry of a list of the root by its name, and its index.
func (s *source) item(list, name string) (*yaml.Node, int) {
	_, value := s.key(list)
	if value == nil {
		return nil, 0
	}
	for i, item := range value.Content {
		if field(item, "name") == name {
			return item, i
		}
	}
	return nil, 0
}

func field(mapping *yaml.Node, name string) string {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i+1].Value
		}
	}
	return ""
}

// length returns the number of entries of a list of the root.
func (s *source) length(list string) int {
	if _, value := s.key(list); value != nil {
		return len(value.Content)
	}
	return 0
}

// raw returns the text of the value of a key, which may be empty.
func (s *source) raw(name string) (string, error) {
	start, end, err := s.valueSpan(name)
	return string(s.content[start:end]), err
}

// valueSpan returns where the value of a key is. A value that is left out is an
// empty span after the colon.
func (s *source) valueSpan(name string) (start, end int, err error) {
	key, value := s.key(name)
	if value.Kind == yaml.ScalarNode && value.Value == "" && value.Style == 0 {
		if start, err = s.end(key); err != nil {
			return 0, 0, err
		}
		colon := bytes.IndexByte(s.content[start:], ':')
		if colon < 0 || len(bytes.TrimSpace(s.content[start:start+colon])) > 0 {
			return 0, 0, errStyle
		}
		return start + colon + 1, start + colon + 1, nil
	}
	if start, err = s.offset(value); err != nil {
		return 0, 0, err
	}
	end, err = s.end(value)
	return start, end, err
}

// setRaw replaces the text of the value of a key.
func (s *source) setRaw(name, text string) ([]byte, error) {
	start, end, err := s.valueSpan(name)
	if err != nil {
		return nil, err
	}
	if text != "" && !strings.ContainsRune(" \t", rune(s.content[start-1])) && start == end {
		text = " " + text
	}
	if text == "" { // also the space that was put before the value
		for start > 0 && s.content[start-1] == ' ' {
			start--
		}
	}
	return s.splice(start, end, text), nil
}

// addKey adds a key with a value in flow style to the root, or with a block below
// it.
func (s *source) addKey(name, value, block string) ([]byte, error) {
	switch {
	case s.root == nil:
		text := name + ":" + block
		if len(s.content) > 0 && !bytes.HasSuffix(s.content, []byte("\n")) {
			return nil, errStyle
		}
		return append(append([]byte{}, s.content...), text...), nil
	case s.flow():
		at, err := s.offset(s.root)
		if err != nil {
			return nil, err
		}
		text := quote(name) + ":" + value
		if len(s.root.Content) > 0 {
			first, err := s.offset(s.root.Content[0])
			if err != nil {
				return nil, err
			}
			text = string(s.content[at+1:first]) + text + ","
		}
		return s.splice(at+1, at+1, text), nil
	}
	at := s.lineStart(s.root.Line)
	indent := strings.Repeat(" ", s.root.Column-1)
	if string(s.content[at:at+min(len(indent), len(s.content)-at)]) != indent {
		return nil, errStyle
	}
	return s.splice(at, at, indent+name+":"+block), nil
}

// removeKey removes a key of the root with its value.
func (s *source) removeKey(name string) ([]byte, error) {
	key, value := s.key(name)
	if key == nil {
		return s.content, nil
	}
	if s.flow() {
		return s.removeFlow(s.root.Content, indexOf(s.root.Content, key), 2)
	}
	last := key.Line
	if len(value.Content) > 0 || value.Value != "" {
		last = max(last, value.Line)
	}
	return s.splice(s.lineStart(key.Line), s.lineStart(last+1), ""), nil
}

// addItem adds an entry to the beginning of a list of the root, which may not
// exist.
func (s *source) addItem(list string, item any) ([]byte, error) {
	text, err := json.Marshal(item)
	if err != nil {
		return nil, err
	}
	key, value := s.key(list)
	if key == nil {
		block, err := s.block(item, s.indent())
		if err != nil {
			return nil, err
		}
		return s.addKey(list, "["+string(text)+"]", s.newline()+block)
	}
	if value.Kind == yaml.SequenceNode && value.Style&yaml.FlowStyle != 0 {
		at, err := s.offset(value)
		if err != nil {
			return nil, err
		}
		if len(value.Content) == 0 {
			return s.splice(at+1, at+1, string(text)), nil
		}
		first, err := s.offset(value.Content[0])
		if err != nil {
			return nil, err
		}
		return s.splice(at+1, at+1, string(s.content[at+1:first])+string(text)+","), nil
	}
	indent := s.indent()
	switch {
	case value.Kind == yaml.SequenceNode && value.Line > key.Line:
		indent = strings.Repeat(" ", value.Column-1)
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null" && value.Value != "":
		return s.setRaw(list, "["+string(text)+"]")
	case value.Kind != yaml.ScalarNode || value.Tag != "!!null" || s.flow():
		return nil, errStyle
	}
	block, err := s.block(item, indent)
	if err != nil {
		return nil, err
	}
	at := s.lineStart(key.Line + 1)
	if at == len(s.content) && !bytes.HasSuffix(s.content, []byte("\n")) {
		return nil, errStyle
	}
	return s.splice(at, at, block), nil
}

// indent returns the indentation of the keys of the root.
func (s *source) indent() string {
	if s.root == nil || s.flow() {
		return ""
	}
	return strings.Repeat(" ", s.root.Column-1)
}

// block renders a list with one item in block style.
func (s *source) block(item any, indent string) (string, error) {
	text, err := sigsyaml.Marshal([]any{item})
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		out.WriteString(indent + strings.TrimSuffix(line, "\n") + s.newline())
	}
	return out.String(), nil
}

// removeItem removes an entry of a list of the root.
func (s *source) removeItem(list, name string) ([]byte, error) {
	item, index := s.item(list, name)
	if item == nil {
		return s.content, nil
	}
	_, value := s.key(list)
	if value.Style&yaml.FlowStyle != 0 {
		return s.removeFlow(value.Content, index, 1)
	}
	first := item.Line
	for first > value.Line && !bytes.HasPrefix(bytes.TrimLeft(s.content[s.lineStart(first):s.lineStart(first+1)], " "), []byte("-")) {
		first--
	}
	last, err := s.lastLine(item)
	if err != nil {
		return nil, err
	}
	return s.splice(s.lineStart(first), s.lineStart(last+1), ""), nil
}

// lastLine returns the line on which a node ends.
func (s *source) lastLine(n *yaml.Node) (int, error) {
	if len(n.Content) > 0 && n.Style&yaml.FlowStyle == 0 {
		last := n.Line
		for _, child := range n.Content {
			line, err := s.lastLine(child)
			if err != nil {
				return 0, err
			}
			last = max(last, line)
		}
		return last, nil
	}
	if n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0 {
		return n.Line, nil
	}
	start, err := s.offset(n)
	if err != nil {
		return 0, err
	}
	end, err := s.end(n)
	if err != nil {
		return 0, err
	}
	return n.Line + bytes.Count(s.content[start:end], []byte("\n")), nil
}

// removeFlow removes the width nodes from index on from a list or mapping in flow
// style, with the comma that belongs to them.
func (s *source) removeFlow(nodes []*yaml.Node, index, width int) ([]byte, error) {
	start, err := s.offset(nodes[index])
	if err != nil {
		return nil, err
	}
	if next := index + width; next < len(nodes) {
		end, err := s.offset(nodes[next])
		if err != nil {
			return nil, err
		}
		return s.splice(start, end, ""), nil
	}
	end, err := s.end(nodes[index+width-1])
	if err != nil {
		return nil, err
	}
	if index > 0 {
		if start, err = s.end(nodes[index-1]); err != nil {
			return nil, err
		}
	}
	return s.splice(start, end, ""), nil
}

func indexOf(nodes []*yaml.Node, one *yaml.Node) int {
	for i, n := range nodes {
		if n == one {
			return i
		}
	}
	return -1
}

func quote(text string) string { return fmt.Sprintf("%q", text) }
