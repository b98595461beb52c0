package cli

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Text returns where commands print text that comes from archives, nodes or pods.
// On a terminal, escape sequences and control characters are removed from it, so
// that it cannot change the title, move the cursor or answer for the user.
func (s Streams) Text() io.Writer { return text(s.Out) }

// text filters what is written to a terminal.
func text(out io.Writer) io.Writer {
	if IsTerminal(out) {
		return &filter{out: out}
	}
	return out
}

// Clean removes escape sequences and control characters from text.
func Clean(text string) string {
	var out strings.Builder
	f := filter{out: &out}
	_, _ = f.Write([]byte(text)) // a Builder does not fail
	return out.String()
}

// filter removes escape sequences (ECMA-48) and control characters but for newline
// and tab. Sequences may be spread over several writes.
type filter struct {
	out   io.Writer
	state state
	rest  []byte // the beginning of a character that is not complete yet
}

type state int

const (
	ground state = iota
	escape       // after ESC
	// control is within a control sequence: until a byte from 0x40 to 0x7e.
	control
	// command is within a command string, such as a title: until BEL or ST.
	command
	commandEscape // after ESC within a command string
)

func (f *filter) Write(p []byte) (int, error) {
	in := append(f.rest, p...)
	f.rest = nil
	kept := make([]byte, 0, len(in))
	for len(in) > 0 {
		if !utf8.FullRune(in) {
			f.rest = append([]byte{}, in...)
			break
		}
		r, size := utf8.DecodeRune(in)
		if f.keep(r) && (r != utf8.RuneError || size > 1) {
			kept = append(kept, in[:size]...)
		}
		in = in[size:]
	}
	if _, err := f.out.Write(kept); err != nil {
		return 0, err
	}
	return len(p), nil
}

// keep reports whether a character is printed, and follows escape sequences.
func (f *filter) keep(r rune) bool {
	switch f.state {
	case escape:
		f.state = afterEscape(r)
		return false
	case control:
		if r >= 0x40 && r <= 0x7e {
			f.state = ground
		}
		return false
	case command, commandEscape:
		switch {
		case r == '\a', r == 0x9c, f.state == commandEscape && r == '\\':
			f.state = ground
		case r == 0x1b:
			f.state = commandEscape
		case r == '\n': // an unfinished string must not hide the lines after it
			f.state = ground
			return true
		default:
			f.state = command
		}
		return false
	}
	switch {
	case r == 0x1b:
		f.state = escape
	case r == 0x9b:
		f.state = control
	case r == 0x90, r == 0x98, r >= 0x9d && r <= 0x9f:
		f.state = command
	case r == '\n', r == '\t':
		return true
	}
	return r >= 0x20 && r < 0x7f || r > 0x9f
}

// afterEscape returns the state after ESC and r.
func afterEscape(r rune) state {
	switch {
	case r == '[':
		return control
	case strings.ContainsRune("]PX^_", r):
		return command
	case r == 0x1b, r >= 0x20 && r <= 0x2f: // an intermediate byte: the final one follows
		return escape
	}
	return ground
}
