package kube

import (
	"strings"
	"testing"
	"time"
)

const page = `{"kind":"Table","metadata":{"resourceVersion":"7","continue":"next"},
"columnDefinitions":[{"name":"Name","priority":0},{"name":"IP","priority":1}],
"rows":[{"cells":["web",3,true,null,["a"]],"object":{"metadata":{"name":"web","namespace":"shop","uid":"u1","labels":{"app":"web"},
"creationTimestamp":"2026-11-21T12:00:00Z","ownerReferences":[{"uid":"o1","controller":true}]}}}]}`

func TestDecodeTableKeepsMetadata(t *testing.T) {
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
			t.Errorf("%q was decoded as a table", text)
		}
	}
}

func TestOneLineRemovesControlCharacters(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "a\x1b[31mb": "a[31mb", "a\nb\tc": "a b c", "\u009b2J": "2J", "grün": "grün", "\xff": "", strings.Repeat("x", 2000): strings.Repeat("x", maxCell) + "…",
	} {
		if got := oneLine(text); got != want {
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
