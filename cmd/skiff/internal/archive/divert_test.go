package archive

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestDivertLeavesOutWhatIsTaken(t *testing.T) {
	b := oci(t, "amd64")
	images, err := Read(t.Context(), bytes.NewReader(b.tar()), "amd64")
	if err != nil || len(images) != 1 || len(images[0].Layers) != 1 {
		t.Fatalf("%+v, %v", images, err)
	}
	layer := images[0].Layers[0]
	if layer.Size != 5000 || "blobs/sha256/"+strings.TrimPrefix(layer.Digest, "sha256:") != layer.File {
		t.Errorf("layer %+v", layer)
	}
	var diverted []byte
	trailer := strings.NewReader(string(b.tar()) + "behind")
	rest := Divert(trailer, func(file string, size int64, content io.Reader) (bool, error) {
		if file != layer.File {
			return false, nil
		}
		diverted, err = io.ReadAll(content)
		return true, err
	})
	thin, err := io.ReadAll(rest)
	if err != nil || trailer.Len() != 0 {
		t.Errorf("%v, %d bytes not read", err, trailer.Len())
	}
	if string(diverted) != strings.Repeat("layer", 1000) {
		t.Errorf("diverted %d bytes", len(diverted))
	}
	if _, err := Read(t.Context(), bytes.NewReader(thin), "amd64"); !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), layer.File+" is missing") {
		t.Errorf("the rest: %v", err)
	}
	whole, err := io.ReadAll(Divert(bytes.NewReader(b.tar()), func(string, int64, io.Reader) (bool, error) { return false, nil }))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Read(t.Context(), bytes.NewReader(whole), "amd64"); err != nil || again[0].Digest != images[0].Digest {
		t.Errorf("nothing was taken: %v", err)
	}
}

func TestDivertEndsWithAnError(t *testing.T) {
	refused := errors.New("no room")
	rest := Divert(bytes.NewReader(oci(t, "amd64").tar()), func(string, int64, io.Reader) (bool, error) { return false, refused })
	if _, err := io.ReadAll(rest); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if _, err := io.ReadAll(Divert(strings.NewReader("not a tar, which has blocks of 512 bytes"), nil)); err == nil {
		t.Error("text was accepted")
	}
	// A reader that gives up early does not block the writer.
	if err := Divert(bytes.NewReader(oci(t, "amd64").tar()), func(string, int64, io.Reader) (bool, error) { return false, nil }).Close(); err != nil {
		t.Error(err)
	}
}
