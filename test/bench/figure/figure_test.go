package figure

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNewReportsWhetherTheGoalIsMet(t *testing.T) {
	for _, test := range []struct {
		skiff, goal float64
		want        string
	}{{50, 60, "true"}, {60, 60, "true"}, {61, 60, "false"}, {61, 0, "null"}} {
		data, err := json.Marshal(New("up", "s", test.skiff, test.goal))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), `"met":`+test.want) {
			t.Errorf("%v of %v: %s", test.skiff, test.goal, data)
		}
	}
}

func TestAgainstAddsARatio(t *testing.T) {
	f := New("start", "s", 1, 0).Against(4)
	if f.Ratio == nil || *f.Ratio != 0.25 {
		t.Errorf("ratio %v", f.Ratio)
	}
	if f := New("start", "s", 1, 0).Against(0); f.Ratio != nil {
		t.Errorf("ratio to zero: %v", *f.Ratio)
	}
}

func TestWriteIncludesAllKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "below", "up.json")
	if err := Write(path, []Figure{New("up", "s", 1.5, 60)}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"figure", "unit", "skiff", "peer", "ratio", "goal", "met"} {
		if _, ok := list[0][key]; !ok {
			t.Errorf("key %s is missing in %s", key, data)
		}
	}
}

func TestPrintHasALineForEachFigure(t *testing.T) {
	var out bytes.Buffer
	if err := Print(&out, []Figure{New("up", "s", 71.25, 60), New("image", "MB", 198, 0)}); err != nil {
		t.Fatal(err)
	}
	want := "FIGURE  UNIT  SKIFF  PEER  RATIO  GOAL  MET\nup      s     71.25  -     -      60    no\nimage   MB    198    -     -      -     -\n"
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
