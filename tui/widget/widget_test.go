package widget

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/skiff-dev/skiff/tui/theme"
)

type rows [][]string

func (r rows) Len() int                 { return len(r) }
func (r rows) Key(i int) string         { return r[i][0] }
func (r rows) Cell(i, c int) string     { return r[i][c] }
func (r rows) Tone(int, int) theme.Tone { return theme.Plain }
func numbered(n int) (all rows) {
	for i := range n {
		all = append(all, []string{fmt.Sprintf("pod-%04d", i), fmt.Sprint(n - i), "ünï"})
	}
	return all
}

func table() *Table {
	return NewTable([]Column{{Title: "Name", Min: 6}, {Title: "Count", Right: true}, {Title: "Note", Spare: true}})
}

func TestATableFitsItsBox(t *testing.T) {
	for width := range 60 {
		for height := 2; height < 12; height++ {
			tab := table()
			tab.SetSource(numbered(30))
			tab.Move(7)
			lines := tab.View(theme.Named("none"), width, height)
			if len(lines) > height {
				t.Fatalf("%d lines in %d", len(lines), height)
			}
			for _, l := range Box(lines, width, height) {
				if ansi.StringWidth(l) != width {
					t.Fatalf("%q is not %d wide", l, width)
				}
			}
		}
	}
}

func TestTheCursorStaysOnItsRowWhenRowsChange(t *testing.T) {
	tab := table()
	tab.SetSource(numbered(30))
	tab.View(theme.Named("none"), 40, 10)
	tab.Move(20)
	tab.SetSource(numbered(30)[15:])
	if tab.Key() != "pod-0020" {
		t.Errorf("the cursor is on %s", tab.Key())
	}
	tab.SortBy(1, false)
	if tab.Key() != "pod-0020" {
		t.Errorf("sorted, the cursor is on %s", tab.Key())
	}
	tab.SetSource(rows{})
	if tab.Row() != -1 || tab.Key() != "" {
		t.Error("the cursor is on a row of an empty table")
	}
}

func TestTheLastColumnTakesTheRemainingRoom(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("word ", 20))
	for width, whole := range map[int]bool{130: true, 80: false} {
		tab := NewTable([]Column{{Title: "Name"}, {Title: "Message", Min: 10}})
		tab.SetSource(rows{{"pod", long}})
		if got := strings.Join(tab.View(theme.Named("none"), width, 3), "\n"); strings.Contains(got, long) != whole || strings.Contains(got, "…") == whole {
			t.Errorf("in %d cells: %s", width, got)
		}
	}
}

func TestNumbersSortByValue(t *testing.T) {
	tab := table()
	tab.SetSource(numbered(12))
	tab.SortBy(1, false)
	tab.Move(-99)
	if got := tab.source.Cell(tab.Row(), 1); got != "1" {
		t.Errorf("the first is %s", got)
	}
}

func TestClickingAHeaderSortsByItsColumn(t *testing.T) {
	for _, width := range []int{30, 40, 80} {
		tab := table()
		tab.SetSource(numbered(12))
		header := tab.View(theme.Named("none"), width, 10)[0]
		for column, title := range []string{"NAME", "COUNT"} {
			tab.ClickHeader(Width(ansi.Strip(header)[:strings.Index(ansi.Strip(header), title)]))
			if tab.Sort != column {
				t.Errorf("a click on %s in %q sorts by column %d", title, header, tab.Sort)
			}
		}
	}
}

func TestRowsStaySortedWhenColumnsChange(t *testing.T) {
	tab := table()
	tab.SetSource(numbered(12))
	tab.SortBy(1, true)
	tab.SetColumns([]Column{{Title: "Name"}, {Title: "CPU"}, {Title: "Count"}})
	if tab.Sort != 2 || !tab.Reverse {
		t.Errorf("sorted by column %d", tab.Sort)
	}
	tab.SetColumns([]Column{{Title: "Name"}})
	if tab.Sort != -1 {
		t.Errorf("sorted by column %d of one", tab.Sort)
	}
	tab.SetColumns(table().Columns)
	if tab.Sort != 1 {
		t.Errorf("sorted by column %d after the column returned", tab.Sort)
	}
}

func TestARangeIsMarkedFromTheLastMark(t *testing.T) {
	tab := table()
	tab.SetSource(numbered(12))
	tab.Move(2)
	tab.Mark() // also moves to the next row
	tab.Move(3)
	tab.MarkRange()
	if got := tab.Marked(); len(got) != 5 || got[0] != 2 || got[4] != 6 {
		t.Errorf("marked %v", got)
	}
	tab.SetSource(numbered(12)[4:])
	if tab.Marks() != 3 {
		t.Errorf("%d marks after two marked rows disappeared", tab.Marks())
	}
}

func TestTextWrapsSearchesAndScrolls(t *testing.T) {
	var text Text
	text.Set("one two three four five\nsix\n\tseven ünïcode eight\n")
	text.SetWrap(true)
	got := strings.Join(text.View(theme.Named("none"), 10, 20), "|")
	if got != "one two th|ree four f|ive|six|    seven |ünïcode ei|ght" {
		t.Errorf("%q", got)
	}
	text.Search(regexp.MustCompile("eight|six"))
	if at, all := text.Matches(); at != 1 || all != 2 {
		t.Errorf("%d of %d", at, all)
	}
	text.Next(1)
	text.Next(1)
	if at, _ := text.Matches(); at != 1 {
		t.Errorf("at %d", at)
	}
}

func TestSparklinesScale(t *testing.T) {
	if got := Spark(Series{0, 1, 4, 8}, 6, 8); got != "   ▂▅█" {
		t.Errorf("%q", got)
	}
	if got := Spark(nil, 3, 0); got != "   " {
		t.Errorf("%q", got)
	}
	var s Series
	for i := range 1000 {
		s = s.Add(float64(i))
	}
	if len(s) > maxSeries || s.Last() != 999 {
		t.Errorf("%d values, the last %v", len(s), s.Last())
	}
}

func TestALineIsEditedWithTheKeysOfAShell(t *testing.T) {
	var in Input
	for _, k := range []string{"kubectl", " ", "get", " ", "pods"} {
		in.Type("", k)
	}
	in.Type("ctrl+w", "")
	in.Type("", "nodes\x1b")
	in.Type("home", "")
	in.Type("delete", "")
	in.Type("", "K")
	if in.Text() != "Kubectl get nodes" {
		t.Errorf("%q", in.Text())
	}
}

func TestWordsAreMovedOverAndDeleted(t *testing.T) {
	var in Input
	in.SetText("get pods  web")
	in.Type("alt+b", "")
	in.Type("alt+b", "")
	in.Type("", "all ")
	in.Type("alt+f", "")
	in.Type("ctrl+k", "")
	if in.Text() != "get all pods" {
		t.Errorf("%q", in.Text())
	}
}

func TestTheCursorStaysVisibleInWideText(t *testing.T) {
	var in Input
	in.SetText(strings.Repeat("船", 30))
	for range 31 {
		if line := in.View(theme.Named("none"), 20); !strings.Contains(line, "\x1b[7m") || ansi.StringWidth(line) != 20 {
			t.Fatalf("at %d: %q", in.cursor, line)
		}
		in.Type("left", "")
	}
}

func FuzzInput(f *testing.F) {
	f.Add("left", "a", 10)
	f.Fuzz(func(t *testing.T, key, text string, width int) {
		var in Input
		in.Type("", text)
		in.Type(key, text)
		width = max(1, min(width, 200))
		if got := ansi.StringWidth(in.View(theme.Named("none"), width)); got > width {
			t.Errorf("%d cells in %d", got, width)
		}
	})
}

func BenchmarkTableOfFiveThousand(b *testing.B) {
	tab, source := table(), numbered(5000)
	tab.SortBy(1, true)
	for b.Loop() {
		tab.SetSource(source)
		tab.View(theme.Named("harbor"), 160, 50)
	}
}
