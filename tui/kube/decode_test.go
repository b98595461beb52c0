package kube

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/skiff-dev/skiff/tui/feed"
)

const page = `{"kind":"Table","metadata":{"resourceVersion":"7","continue":"next"},
"columnDefinitions":[{"name":"Name","priority":0},{"name":"IP","priority":1}],
"rows":[{"cells":["web",3,true,null,["a"]],"object":{"metadata":{"name":"web","namespace":"shop","uid":"u1","labels":{"app":"web"},
"creationTimestamp":"2026-11-21T12:00:00Z","ownerReferences":[{"uid":"o1","controller":true}]}}}]}`

func TestTablesAreReadWithTheirMetadata(t *testing.T) {
	table, err := decodeTable(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	columns := table.columns()
	r := table.Rows[0].row("dev", time.Now())
	if len(columns) != 2 || !columns[1].Wide || table.Metadata.Continue != "next" {
		t.Errorf("%+v", table)
	}
	if r.Key() != "dev/shop/web" || r.Owner != "o1" || r.Labels["app"] != "web" || strings.Join(r.Cells, "|") != `web|3|true||["a"]` {
		t.Errorf("%+v", r)
	}
	for _, text := range []string{"", "{}", `{"kind":"PodList"}`, "hello"} {
		if _, err := decodeTable(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read as a table", text)
		}
	}
}

func TestWhatOthersWroteCannotUpsetTheTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "a\x1b[31mb": "a[31mb", "a\nb\tc": "a b c", "\u009b2J": "2J", "grün": "grün", "\xff": "", strings.Repeat("x", 2000): strings.Repeat("x", maxCell) + "…",
	} {
		if got := line(text); got != want {
			t.Errorf("%.20q: got %.40q", text, got)
		}
	}
}

func FuzzDecodeTable(f *testing.F) {
	f.Add(page)
	f.Add(`{"kind":"Table","rows":[{}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		table, err := decodeTable(strings.NewReader(text))
		if err != nil {
			return
		}
		table.columns()
		for i := range table.Rows {
			for _, cell := range table.Rows[i].row("c", time.Now()).Cells {
				if strings.ContainsAny(cell, "\x1b\n\r") {
					t.Errorf("%q", cell)
				}
			}
		}
	})
}

func TestSecretsAreMasked(t *testing.T) {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{
			"name": "login", "managedFields": []any{map[string]any{"manager": "x"}},
			"annotations": map[string]any{lastApplied: `{"data":{"password":"aHVudGVyMg=="}}`},
		},
		"data": map[string]any{"password": "aHVudGVyMg=="},
	}}
	text, err := document(o, false)
	if err != nil || strings.Contains(text, "aHVudGVyMg") || !strings.Contains(text, "(7 bytes)") || strings.Contains(text, "managedFields") {
		t.Errorf("%s, %v", text, err)
	}
	if text, err = document(o, true); err != nil || !strings.Contains(text, "aHVudGVyMg==") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestLogsAreReadOnceAndBounded(t *testing.T) {
	long := strings.Repeat("y", 3*maxLogLine)
	in := "2026-11-21T12:00:00.000000001Z one\n2026-11-21T12:00:01Z two\nno time\n2026-11-21T12:00:02Z " + long + "\n2026-11-21T12:00:03Z last"
	var got []feed.Line
	last := time.Date(2026, 11, 21, 12, 0, 0, 1, time.UTC)
	if err := readLog(strings.NewReader(in), "web", last, func(l feed.Line) { got = append(got, l) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].Text != "two" || len(got[1].Text) > maxLogLine || got[2].Text != "last" {
		t.Errorf("%d lines: %.60v", len(got), got)
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add("2026-11-21T12:00:00Z one\ntwo")
	f.Fuzz(func(t *testing.T, text string) {
		_ = readLog(strings.NewReader(text), "", time.Time{}, func(l feed.Line) {
			if len(l.Text) > maxLogLine || strings.Contains(l.Text, "\n") {
				t.Errorf("%.60q", l.Text)
			}
		})
	})
}

func TestMetricsAreRead(t *testing.T) {
	for text, want := range map[string]float64{`a{b="c d"} 12`: 12, "a 1e3": 1000, "a{b=\"}\"} 2": 2} {
		if name, got, ok := metric(text); !ok || name != "a" || got != want {
			t.Errorf("%s: %s %v %t", text, name, got, ok)
		}
	}
	for _, text := range []string{"", "# HELP a", "a", "a{", "a b", "{ 1"} {
		if name, _, ok := metric(text); ok && name != "" {
			t.Errorf("%q is read as %q", text, name)
		}
	}
}

func FuzzMetric(f *testing.F) {
	f.Add(`a{b="c"} 1`)
	f.Fuzz(func(_ *testing.T, text string) { metric(text); checks(text) })
}

func TestNoArchiveLeadsOutOfItsDirectory(t *testing.T) {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for _, h := range []tar.Header{
		{Name: "dir/fine", Typeflag: tar.TypeReg, Size: 2, Mode: 0o644}, {Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc"},
		{Name: "../outside", Typeflag: tar.TypeReg, Size: 2, Mode: 0o644},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, "ok"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	parent := t.TempDir()
	if _, err := unpack(&content, filepath.Join(parent, "to")); err == nil {
		t.Error("a name that leads out is accepted")
	}
	if _, err := os.Stat(filepath.Join(parent, "outside")); err == nil {
		t.Error("it was written outside")
	}
	if got, err := os.ReadFile(filepath.Join(parent, "to/dir/fine")); err != nil || string(got) != "ok" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAPodsSuccessorHasItsLastingLabels(t *testing.T) {
	got := lasting(map[string]string{"app": "web", "pod-template-hash": "abc", "statefulset.kubernetes.io/pod-name": "web-0"})
	if len(got) != 1 || got["app"] != "web" {
		t.Errorf("%v", got)
	}
}
