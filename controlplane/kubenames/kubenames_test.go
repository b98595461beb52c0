package kubenames

import (
	"bytes"
	"os"
	"testing"
)

func TestTheEmbeddedNamesAreThoseOfTheLinkedKubernetes(t *testing.T) {
	names, err := Collect()
	if err != nil {
		t.Fatal(err)
	}
	want, err := Encode(names)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../../internal/kubenames/" + File())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("internal/kubenames/%s is out of date: run \"make bump\"", File())
	}
}
