package widget

import (
	"slices"

	"github.com/skiff-dev/skiff/tui/keys"
)

// Act moves the cursor or sorts the table. It reports whether the action is one
// of these.
func (t *Table) Act(a keys.Action) bool {
	switch a {
	case keys.Up:
		t.Move(-1)
	case keys.Down:
		t.Move(1)
	case keys.PageUp:
		t.Move(-t.Page())
	case keys.PageDown:
		t.Move(t.Page())
	case keys.Top:
		t.Move(-t.Len())
	case keys.Bottom:
		t.Move(t.Len())
	case keys.Left:
		t.Shift(-1)
	case keys.Right:
		t.Shift(1)
	default:
		return t.actSort(a)
	}
	return true
}

func (t *Table) actSort(a keys.Action) bool {
	switch a {
	case keys.SortNext:
		t.SortBy(min(t.Sort+1, len(t.Columns)-1), false)
	case keys.SortPrev:
		t.SortBy(max(t.Sort-1, -1), false)
	case keys.Reverse:
		t.SortBy(t.Sort, !t.Reverse)
	case keys.SortName:
		t.sortByFirst("Name", "Object", "Cluster", "Address", "Namespace")
	case keys.SortAge:
		t.sortByFirst("Age", "Last Seen", "Up")
	case keys.SortCPU:
		t.sortDescending("CPU")
	case keys.SortMemory:
		t.sortDescending("Memory")
	default:
		return false
	}
	return true
}

// sortByFirst sorts by the first of the titles that has a column, and reverses
// the order if the table is already sorted by it.
func (t *Table) sortByFirst(titles ...string) {
	for _, title := range titles {
		if i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Title == title }); i >= 0 {
			t.SortBy(i, t.Sort == i && !t.Reverse)
			return
		}
	}
}

// sortDescending sorts by a column, largest value first, and reverses the order
// if the table is already sorted that way.
func (t *Table) sortDescending(title string) {
	by, reverse := t.SortedBy()
	t.SortByTitle(title, by != title || !reverse)
}

// ActMark marks rows. It reports whether the action does so.
func (t *Table) ActMark(a keys.Action) bool {
	switch a {
	case keys.Mark:
		t.Mark()
	case keys.MarkRange:
		t.MarkRange()
	case keys.MarkAll:
		t.MarkAll()
	case keys.Unmark:
		t.Unmark()
	default:
		return false
	}
	return true
}

// Act scrolls, wraps or searches the text. It reports whether the action is one
// of these.
func (t *Text) Act(a keys.Action) bool {
	switch a {
	case keys.Up:
		t.Move(-1)
	case keys.Down:
		t.Move(1)
	case keys.PageUp:
		t.Move(-t.Page())
	case keys.PageDown:
		t.Move(t.Page())
	case keys.Top:
		t.Move(-1 << 30)
	case keys.Bottom:
		t.Move(1 << 30)
	case keys.Left:
		t.Shift(-20)
	case keys.Right:
		t.Shift(20)
	case keys.Wrap:
		t.SetWrap(!t.Wrap)
	case keys.Next:
		t.Next(1)
	case keys.Prev:
		t.Next(-1)
	default:
		return false
	}
	return true
}
