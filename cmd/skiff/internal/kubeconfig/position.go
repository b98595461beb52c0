package kubeconfig

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v3"
)

// lineStart returns the offset of a line, counted from 1. The line after the last
// one starts at the end of the file.
func (s *source) lineStart(line int) int {
	if line > len(s.starts) {
		return len(s.content)
	}
	return s.starts[max(line-1, 0)]
}

// offset returns where a node starts. Columns count characters, not bytes.
func (s *source) offset(n *yaml.Node) (int, error) {
	if n.Line < 1 || n.Line > len(s.starts) || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return 0, errStyle
	}
	at := s.starts[n.Line-1]
	for column := 1; column < n.Column; column++ {
		if at >= len(s.content) {
			return 0, errStyle
		}
		for at++; at < len(s.content) && s.content[at]&0xc0 == 0x80; at++ {
		}
	}
	return at, nil
}

// end returns where a scalar or a node in flow style ends.
func (s *source) end(n *yaml.Node) (int, error) {
	at, err := s.offset(n)
	if err != nil {
		return 0, err
	}
	switch {
	case n.Kind == yaml.AliasNode:
		return at + 1 + len(n.Value), nil
	case n.Kind != yaml.ScalarNode && n.Style&yaml.FlowStyle != 0, n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return s.closing(at)
	case n.Kind == yaml.ScalarNode && n.Style == 0 && bytes.HasPrefix(s.content[at:], []byte(n.Value)):
		return at + len(n.Value), nil
	}
	return 0, errStyle
}

// closing returns the offset after the string, list or mapping that opens at the
// given offset.
func (s *source) closing(at int) (int, error) {
	depth := 0
	for ; at < len(s.content); at++ {
		switch c := s.content[at]; c {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '#':
			if strings.ContainsRune(" \t\n", rune(s.content[max(at-1, 0)])) {
				for at+1 < len(s.content) && s.content[at+1] != '\n' {
					at++
				}
			}
		case '"', '\'':
			if depth > 0 && !strings.ContainsRune(" \t\r\n[{,:", rune(s.content[max(at-1, 0)])) {
				continue // a quote within a plain scalar
			}
			for at++; at < len(s.content) && s.content[at] != c; at++ {
				if c == '"' && s.content[at] == '\\' {
					at++
				}
			}
			if c == '\'' && at+1 < len(s.content) && s.content[at+1] == '\'' {
				continue // an escaped quote: the string opens again there
			}
		}
		if depth == 0 && at < len(s.content) && strings.ContainsRune("]}\"'", rune(s.content[at])) {
			return at + 1, nil
		}
	}
	return 0, errStyle
}
