package imagelist

import (
	"fmt"
	"testing"
)

func TestParseSkipsWhatHasNoTag(t *testing.T) {
	images, err := Parse(`{"Name":"docker.io/library/app:1","Repository":"app","Tag":"1","Digest":"sha256:aa","Size":"1 MiB"}

{"Name":"sha256:aa","Repository":"","Tag":"","Digest":"sha256:aa","Size":"1 MiB"}
{"Repository":"db","Tag":"2","Digest":"sha256:bb","Size":"2 MiB"}
{"Name":"x","Repository":"x","Tag":"<none>","Digest":"sha256:bb","Size":"2 MiB"}
`)
	if err != nil || len(images) != 2 || images[0].Name != "docker.io/library/app:1" || images[1].Name != "db:2" {
		t.Fatalf("%+v, %v", images, err)
	}
	if _, err := Parse("WARN no such thing"); err == nil {
		t.Error("text that is not JSON is accepted")
	}
}

func TestMergeNamesTheNodesOfEach(t *testing.T) {
	app, old, db := NodeImage{Name: "app:1", Digest: "sha256:b"}, NodeImage{Name: "app:1", Digest: "sha256:a"}, NodeImage{Name: "db:1", Digest: "sha256:c"}
	got := fmt.Sprint(Merge([]string{"n1", "n2"}, [][]NodeImage{{app, db, app}, {old, db}}))
	if want := "[{app:1 sha256:a  [n2]} {app:1 sha256:b  [n1]} {db:1 sha256:c  [n1 n2]}]"; got != want {
		t.Errorf("got %s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"Name":"app:1","Tag":"1"}`)
	f.Fuzz(func(t *testing.T, text string) {
		images, err := Parse(text)
		if err == nil {
			Merge([]string{"n"}, [][]NodeImage{images})
		}
	})
}
