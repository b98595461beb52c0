package image

import (
	"archive/tar"
	"io"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/archive"
)

func TestNodesGetTheLayersThatTheyLack(t *testing.T) {
	base := archive.Layer{File: "blobs/sha256/aa", Digest: "sha256:aa", Size: 1 << 20}
	app := archive.Layer{File: "blobs/sha256/bb", Digest: "sha256:bb", Size: 8 << 20}
	nodes := []string{"one", "two"}
	d := newDelivery(nodes, []archive.Layer{base, app}, []string{"sha256:aa\nsha256:bb\n", "sha256:aa\nsha256:cc\n"}, false)
	for file, want := range map[string]string{base.File: "", app.File: "two", "index.json": "one two"} {
		if got := strings.Join(d.lacking(file), " "); got != want {
			t.Errorf("%s is lacking on %q, want %q", file, got, want)
		}
	}
	for want, take := range map[string]func(string, int64, io.Reader) (bool, error){
		"aa": d.share(t.Context(), nil), "aa bb": d.skip("one"), " aa": d.skip("two"),
	} {
		var got []string
		for _, layer := range []archive.Layer{base, app} {
			if taken, err := take(layer.File, layer.Size, nil); taken && err == nil {
				got = append(got, layer.Digest[len("sha256:"):])
			}
		}
		if strings.Join(got, " ") != strings.TrimSpace(want) {
			t.Errorf("taken %v, want %s", got, want)
		}
		if taken, err := take("index.json", 10, nil); taken || err != nil {
			t.Errorf("another file was taken: %v", err)
		}
	}
	if !d.omitted.Load() {
		t.Error("it is not known that layers were left out")
	}
	all := newDelivery(nodes, []archive.Layer{base}, []string{"", ""}, false)
	if taken, err := all.share(t.Context(), nil)(base.File, base.Size, nil); taken || err != nil || all.omitted.Load() {
		t.Errorf("a layer that all nodes lack was left out: %v", err)
	}
}

// A node that fails must not keep the others from the rest of an archive, which is longer
// than a fan reads ahead.
func TestNodeThatGivesUpDelaysNoOther(t *testing.T) {
	const size = 2 * chunksAhead * chunkBytes
	whole, w := io.Pipe()
	go func() {
		to := tar.NewWriter(w)
		err := to.WriteHeader(&tar.Header{Name: "layer", Typeflag: tar.TypeReg, Mode: 0o600, Size: size})
		if err == nil {
			_, err = to.Write(make([]byte, size))
		}
		_ = w.CloseWithError(err)
	}()
	d := &delivery{present: map[string]map[string]bool{"one": {"another": true}}}
	branches, wait := fan(whole, 2)
	one, two := d.thin("one", branches[0]), d.thin("two", branches[1])
	if _, err := io.ReadFull(one, make([]byte, 512)); err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	if n, err := io.Copy(io.Discard, two); err != nil || n < size {
		t.Errorf("%d bytes, %v", n, err)
	}
	_ = two.Close()
	wait()
}
