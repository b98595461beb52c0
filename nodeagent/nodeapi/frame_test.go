package nodeapi

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestFramesRoundTrip(t *testing.T) {
	var wire bytes.Buffer
	w := NewWriter(&wire)
	long := strings.Repeat("x", MaxFrame+10)
	for stream, text := range map[Stream]string{Stdin: "a\x00b", Stdout: ""} {
		wire.Reset()
		if err := w.Write(stream, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, payload, err := ReadFrame(&wire)
		if err != nil || got != stream || string(payload) != text {
			t.Errorf("sent %d %q, got %d %q, %v", stream, text, got, payload, err)
		}
	}
	wire.Reset()
	if n, err := w.Stream(Stderr).Write([]byte(long)); n != len(long) || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	var all []byte
	for range 2 {
		_, payload, err := ReadFrame(&wire)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, payload...)
	}
	if string(all) != long {
		t.Error("a long payload came out different")
	}
	if _, _, err := ReadFrame(&wire); !errors.Is(err, io.EOF) {
		t.Errorf("between frames: %v, want io.EOF", err)
	}
}

func TestMalformedFramesAreRefused(t *testing.T) {
	for name, wire := range map[string]string{
		"unknown stream": "\x00\x00\x00\x00\x00",
		"stream above":   "\x08\x00\x00\x00\x00",
		"too long":       "\x01\x00\x01\x00\x01",
		"cut payload":    "\x01\x00\x00\x00\x02a",
		"no payload":     "\x01\x00\x00\x00\x02",
	} {
		if _, _, err := ReadFrame(strings.NewReader(wire)); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
	if _, _, err := ReadFrame(strings.NewReader("\x01\x00")); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a cut header: %v, want an error that is not io.EOF", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x02ab\x02\x00\x00\x00\x00"))
	f.Add([]byte("\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		in := bytes.NewReader(wire)
		var again bytes.Buffer
		w := NewWriter(&again)
		for {
			stream, payload, err := ReadFrame(in)
			if err != nil {
				break
			}
			if err := w.Write(stream, payload); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(wire, again.Bytes()) {
			t.Errorf("read frames do not make up the beginning of %x", wire)
		}
	})
}
