package nodeapi

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestChunksOfLogsArriveAsTheyWereWritten(t *testing.T) {
	var stream bytes.Buffer
	w := NewLogWriter(&stream)
	want := LogChunk{File: "a@1", Source: LogSourceContainer, Path: "n_p_u/c/0.log", Offset: 7, Final: true}
	if err := errors.Join(w.Write(want, []byte("text\n")), w.Write(LogChunk{End: true, More: true, Gone: []string{"b"}}, nil)); err != nil {
		t.Fatal(err)
	}
	r := NewLogReader(bytes.NewReader(stream.Bytes()))
	chunk, data, err := r.Next()
	if err != nil || chunk.File != want.File || !chunk.Final || chunk.Offset != 7 || string(data) != "text\n" {
		t.Errorf("%+v, %q, %v", chunk, data, err)
	}
	if chunk, _, err := r.Next(); err != nil || !chunk.End || !chunk.More || len(chunk.Gone) != 1 {
		t.Errorf("%+v, %v", chunk, err)
	}
	if _, _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after the last chunk: %v", err)
	}
}

func TestInvalidChunksOfLogsAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "{", "{}\n", `{"file":"a","bytes":-1}` + "\n", `{"file":"a","bytes":1048577}` + "\n", `{"file":"a","bytes":3}` + "\nab",
		`{"file":"a","offset":-1}` + "\n", `{"end":true,"bytes":1}` + "\nx", `{"end":true,"file":"a"}` + "\n", strings.Repeat(" ", maxChunkHead+1),
	} {
		if chunk, _, err := NewLogReader(strings.NewReader(text)).Next(); err == nil {
			t.Errorf("%.40q: %+v", text, chunk)
		}
	}
}

// FuzzLogReader checks that no stream makes the reader panic or return more than a
// chunk may have.
func FuzzLogReader(f *testing.F) {
	f.Add([]byte("{\"file\":\"a\",\"bytes\":1}\nx{\"end\":true}\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := NewLogReader(bytes.NewReader(stream))
		for {
			chunk, data, err := r.Next()
			if err != nil {
				return
			}
			if len(data) != chunk.Bytes || len(data) > MaxLogChunk {
				t.Fatalf("%d bytes for %+v", len(data), chunk)
			}
		}
	})
}
